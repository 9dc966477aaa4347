"""What to run: one complete TOML file a recipe."""

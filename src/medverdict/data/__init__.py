"""FILE -> SPLITS: read, leave out, group, split, audit."""

"""medverdict: train a small language model to judge medical claims, and say honestly how good it is."""

__version__ = "0.1.0"

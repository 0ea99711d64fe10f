"""The tasks `evaluate` and `benchmark`: each opens one artifact in its engine and measures it."""

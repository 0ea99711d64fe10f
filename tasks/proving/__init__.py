"""The tasks that open one artifact in its engine and measure it."""

"""What runs an artifact: how it is packaged, served, measured and used. One folder per engine."""

"""A real model for this machine without a model hub: rebuilt from a package, and published on the mirror."""

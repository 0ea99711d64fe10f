"""From a Hub repository to a verified snapshot in the store, and what is known about it."""

"""From a Hub repository to a verified snapshot in the store, and its analysis. Knows no release format."""

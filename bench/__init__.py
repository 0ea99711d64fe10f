"""What a release costs, beside the same tools called by a hand-written script: `make bench`."""

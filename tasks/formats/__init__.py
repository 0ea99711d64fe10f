"""The formats: one folder each, with the same modules `target`, `convert` and `inspect` (see base.py)."""

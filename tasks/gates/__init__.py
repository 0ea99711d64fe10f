"""Applies rules to measured numbers and writes verdicts."""

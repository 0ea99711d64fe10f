"""Registers artifacts that passed in MLflow, promotes them, and writes the release's record and report."""

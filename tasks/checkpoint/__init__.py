"""Reads a source model in the transformers layout: files, headers, weights, configuration. Knows no release format."""

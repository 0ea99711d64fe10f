"""Measures the same numbers for every format: fidelity to the source, parity of tokenizer and template, size, speed."""

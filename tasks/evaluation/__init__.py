"""The same numbers for every format: fidelity to the reference, parity of the tokenizer, speed."""

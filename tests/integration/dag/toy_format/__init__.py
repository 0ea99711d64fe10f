"""A toy format: the checkpoint in bfloat16, in one ZIP archive, run by transformers.

A test copies this folder to `tasks/formats/zipped` of a copy of the product, to prove that a format needs nothing but
its folder and a line in the registry.
"""

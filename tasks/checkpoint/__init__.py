"""A source model's files in the transformers layout, and how they are read. Knows no format that is made from them."""

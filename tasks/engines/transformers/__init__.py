"""transformers on PyTorch, which runs checkpoints as they are published."""

"""GGUF: a single file with weights, tokenizer and chat template. llama.cpp makes and serves it."""

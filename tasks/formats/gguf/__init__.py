"""GGUF: one file with weights, tokenizer and chat template, served by llama.cpp."""

"""llama.cpp, which runs GGUF files."""

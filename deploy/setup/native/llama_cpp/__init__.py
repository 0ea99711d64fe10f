"""llama.cpp: its library, its command-line tools and its Python bindings, which make and serve GGUF files."""

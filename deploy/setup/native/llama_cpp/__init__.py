"""llama.cpp: the library, the tools and the Python bindings of GGUF."""

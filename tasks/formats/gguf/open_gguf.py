"""Opens one GGUF file in llama.cpp's library and exits with status 1 if that fails.

This is a script: `open_gguf.py LIBRARY FILE ANSWER`. It writes the size of the sliding window that llama.cpp uses for
the model, in tokens, into the file ANSWER: 0 if it uses none. It runs in a process of its own, because llama.cpp ends
its process for some files, and writes why to standard error. It imports nothing of the product.
"""

import ctypes
import sys
from pathlib import Path

PARAMETERS_BYTES = 4096
"""More than llama.cpp's structure of parameters has. It is only passed on, so its fields are of no matter here; the
calling conventions of x86-64 and of ARM pass a structure of this size in memory, where a longer one does no harm.
"""


class Parameters(ctypes.Structure):
    """`llama_model_params`, as bytes."""

    _fields_ = (("content", ctypes.c_char * PARAMETERS_BYTES),)


def main() -> int:
    """Load the file, and free it again."""
    library, file, answer = sys.argv[1:]
    llama = ctypes.CDLL(library)
    folder = Path(library).resolve().parent
    # A build may have the code for several processors in libraries of their own, which it looks for beside the program.
    if any(folder.glob("libggml-cpu-*.so")):
        ctypes.CDLL(str(folder / "libggml.so")).ggml_backend_load_all_from_path(str(folder).encode())
    llama.llama_model_default_params.restype = Parameters
    llama.llama_model_load_from_file.argtypes = (ctypes.c_char_p, Parameters)
    llama.llama_model_load_from_file.restype = ctypes.c_void_p
    llama.llama_model_n_swa.argtypes = llama.llama_model_free.argtypes = (ctypes.c_void_p,)
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(file.encode(), llama.llama_model_default_params())
    if not model:
        return 1
    Path(answer).write_text(str(llama.llama_model_n_swa(model)), encoding="ascii")
    llama.llama_model_free(model)
    return 0


if __name__ == "__main__":
    sys.exit(main())

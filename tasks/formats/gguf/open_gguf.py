"""Opens one GGUF file in llama.cpp's library, as for reading a text, and exits with status 1 if that fails.

This is a script: `open_gguf.py LIBRARY FILE ANSWER packed|as-stored`. The last word says whether llama.cpp may pack the
weights for the processor (see serving.py). The script writes a JSON object into the file ANSWER:

    window    the size of the sliding window that llama.cpp uses for the model, in tokens; 0 if it uses none
    ends      the tokens at which llama.cpp ends a text: their texts by their ids

It runs in a process of its own, because llama.cpp ends its process for some files, and writes why to standard error. It
imports nothing of the product.
"""

import ctypes
import json
import sys
from pathlib import Path

PARAMETERS_BYTES = 4096
"""More than llama.cpp's structure of parameters has. It is only passed on, so its fields are of no matter here; the
calling conventions of x86-64 and of ARM pass a structure of this size in memory, where a longer one does no harm.
"""


class ContextParameters(ctypes.Structure):
    """`llama_context_params`, as bytes."""

    _fields_ = (("content", ctypes.c_char * PARAMETERS_BYTES),)


class ModelParameters(ctypes.Structure):
    """`llama_model_params` of include/llama.h."""

    _fields_ = (
        ("devices", ctypes.c_void_p),
        ("tensor_buft_overrides", ctypes.c_void_p),
        ("n_gpu_layers", ctypes.c_int32),
        ("split_mode", ctypes.c_int),
        ("load_mode", ctypes.c_int),
        ("lazy_mode", ctypes.c_int),
        ("main_gpu", ctypes.c_int32),
        ("tensor_split", ctypes.c_void_p),
        ("progress_callback", ctypes.c_void_p),
        ("progress_callback_user_data", ctypes.c_void_p),
        ("kv_overrides", ctypes.c_void_p),
        ("vocab_only", ctypes.c_bool),
        ("check_tensors", ctypes.c_bool),
        ("use_extra_bufts", ctypes.c_bool),
        ("no_host", ctypes.c_bool),
        ("no_alloc", ctypes.c_bool),
        ("load_mtp", ctypes.c_bool),
    )


def main() -> int:
    """Load the file, make a context for it, write the answer, and free all again.

    llama.cpp looks at some sizes of a model only when it makes a context.
    """
    library, file, answer, packed = sys.argv[1:]
    llama = ctypes.CDLL(library)
    folder = Path(library).resolve().parent
    # A build may have the code for several processors in libraries of their own, which it looks for beside the program.
    if any(folder.glob("libggml-cpu-*.so")):
        ctypes.CDLL(str(folder / "libggml.so")).ggml_backend_load_all_from_path(str(folder).encode())
    llama.llama_model_default_params.restype = ModelParameters
    llama.llama_model_load_from_file.argtypes = (ctypes.c_char_p, ModelParameters)
    llama.llama_model_load_from_file.restype = ctypes.c_void_p
    llama.llama_model_n_swa.argtypes = llama.llama_model_free.argtypes = (ctypes.c_void_p,)
    llama.llama_model_get_vocab.argtypes = (ctypes.c_void_p,)
    llama.llama_model_get_vocab.restype = ctypes.c_void_p
    llama.llama_vocab_n_tokens.argtypes = (ctypes.c_void_p,)
    llama.llama_vocab_is_eog.argtypes = (ctypes.c_void_p, ctypes.c_int32)
    llama.llama_vocab_is_eog.restype = ctypes.c_bool
    llama.llama_vocab_get_text.argtypes = (ctypes.c_void_p, ctypes.c_int32)
    llama.llama_vocab_get_text.restype = ctypes.c_char_p
    llama.llama_context_default_params.restype = ContextParameters
    llama.llama_init_from_model.argtypes = (ctypes.c_void_p, ContextParameters)
    llama.llama_init_from_model.restype = ctypes.c_void_p
    llama.llama_free.argtypes = (ctypes.c_void_p,)
    llama.llama_backend_init()
    parameters = llama.llama_model_default_params()
    parameters.use_extra_bufts = packed == "packed"
    model = llama.llama_model_load_from_file(file.encode(), parameters)
    if not model:
        return 1
    context = llama.llama_init_from_model(model, llama.llama_context_default_params())
    if not context:
        return 1
    llama.llama_free(context)
    vocabulary = llama.llama_model_get_vocab(model)
    ends = {
        token: llama.llama_vocab_get_text(vocabulary, token).decode("utf-8", "replace")
        for token in range(llama.llama_vocab_n_tokens(vocabulary))
        if llama.llama_vocab_is_eog(vocabulary, token)
    }
    found = {"window": llama.llama_model_n_swa(model), "ends": ends}
    Path(answer).write_text(json.dumps(found), encoding="utf-8")
    llama.llama_model_free(model)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A tokenizer in llama.cpp without a model: a GGUF file that holds a vocabulary only."""

import json
from pathlib import Path
from typing import Any

import llama_cpp

from tests.tasks.formats.gguf.writer import write_gguf

NORMAL, CONTROL = 1, 3


class LlamaVocabulary:
    """A tokenizer's tokens and merges, cut by llama.cpp's pre-tokenizer of the given name.

    name: the model's, by which llama.cpp decides beside which added tokens it drops spaces.
    """

    def __init__(self, tokenizer: Any, pre_tokenizer: str, path: Path, name: str = "") -> None:
        model = json.loads(tokenizer.to_str())["model"]
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        tokens = sorted(vocabulary, key=vocabulary.__getitem__)
        added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
        write_gguf(
            path,
            {
                "general.architecture": "llama",
                "general.name": name,
                "tokenizer.ggml.model": "gpt2",
                "tokenizer.ggml.pre": pre_tokenizer,
                "tokenizer.ggml.tokens": tokens,
                "tokenizer.ggml.token_type": [CONTROL if token in added else NORMAL for token in tokens],
                "tokenizer.ggml.merges": [" ".join(merge) for merge in model["merges"]],
                "tokenizer.ggml.bos_token_id": 0,
                "tokenizer.ggml.eos_token_id": 1,
            },
            {},
        )
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        assert self.model, f"llama.cpp cannot load {path}"

    def tokenize(self, text: str) -> list[int]:
        raw = text.encode()
        ids = (llama_cpp.llama_token * (len(raw) + 8))()
        vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        count = llama_cpp.llama_tokenize(vocabulary, raw, len(raw), ids, len(ids), False, True)
        return list(ids[:count])

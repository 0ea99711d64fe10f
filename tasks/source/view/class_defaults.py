"""Spells out what a tokenizer class of transformers 4 did by default with a SentencePiece model without tokenizer.json.

transformers 5 writes tokenizer.json whenever it saves a tokenizer, so a model alone comes from an older release. Some
classes did more then than their files say: they put BOS before every text, unless `add_bos_token` said otherwise. Most
classes of the same names in transformers 5 do not.

Sources: tokenization_llama.py, tokenization_code_llama.py and tokenization_gemma.py of transformers 4.57.
"""

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, Literal

from tasks.checkpoint.named_tokens import CONFIG, token_text

Space = Literal["always", "first", "never"]
"""Where a space is put: before a text and behind each special token in it, before a text alone, or nowhere."""

LLAMA, CODE_LLAMA, GEMMA = "LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"

TOKENS: Mapping[str, Mapping[str, str]] = {
    LLAMA: {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    CODE_LLAMA: {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    GEMMA: {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"},
}
"""The tokens that each class had where its files name none."""

FAMILIES = {
    **dict.fromkeys(("llama", "open-llama", "mistral", "mixtral", "phi3", "persimmon", "jetmoe"), LLAMA),
    "code_llama": CODE_LLAMA,
    **dict.fromkeys(("gemma", "gemma2", "gemma3", "gemma3_text", "recurrent_gemma"), GEMMA),
}
"""The class of each `model_type` of a source that names none."""


def find_class(config: Mapping[str, Any], model: Mapping[str, Any]) -> str | None:
    """Return the class of TOKENS that a source names, or that its family has; None for another one.

    config, model: tokenizer_config.json and config.json. Llama's first files spell the class LLaMATokenizer.
    """
    named = config.get("tokenizer_class") or model.get("tokenizer_class")
    if named is None:
        return FAMILIES.get(str(model.get("model_type")))
    spelled = str(named).removesuffix("Fast").lower()
    return next((name for name in TOKENS if name.lower() == spelled), None)


def with_defaults(
    config: Mapping[str, Any], name: str | None, pieces: Container[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return tokenizer_config.json with the tokens that the class had, and `add_bos_token`; and a note on the flag.

    name: see find_class. pieces: the tokens of the SentencePiece model.
    """
    if name is None:
        return dict(config), ()
    tokens = {field: text for field, text in TOKENS[name].items() if field not in config and text in pieces}
    settled = {**config, **tokens}
    bos = token_text(settled.get("bos_token"))
    if isinstance(config.get("add_bos_token"), bool) or bos not in pieces:
        return settled, ()
    what = f"{CONFIG} does not say add_bos_token; {name} of transformers 4 put {bos!r} before every text"
    return {**settled, "add_bos_token": True}, (f"{what}, and so does the release.",)


def space_before(config: Mapping[str, Any], name: str | None) -> Space:
    """Return where the class put a space, if the model puts one at all. config, name: as in with_defaults."""
    if name != LLAMA:
        return "always"
    if config.get("add_prefix_space") is False:
        return "never"
    return "first" if config.get("legacy") is False else "always"


def drop_space(path: Path) -> None:
    """Rewrite a SentencePiece model so that it puts no space before a text."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    model.normalizer_spec.add_dummy_prefix = False
    path.write_bytes(model.SerializeToString())

"""Spells a source's files as llama.cpp's converter reads them.

The converter reads names that transformers 5 does not write any more, takes added tokens from tokenizer_config.json
alone, and writes several chat templates in the order in which the disk lists them.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.checkpoint.model_config import has_one_key_head
from tasks.checkpoint.normalization import SPACE_MARK
from tasks.checkpoint.snapshot import Snapshot
from tasks.evaluation.caveats import Caveat

OLDER_NAMES = ("n_ctx", "rotary_pct", "rotary_emb_base")
"""Names in config.json that `spell` adds, and that transformers drops when it reads them."""

EMBEDDING_NAME = "model.embed_tokens.weight"
"""A name by which the converter knows the token embedding of every architecture."""

BLOOM_CONTEXT = 2048
"""Tokens of a sequence on which BLOOM was trained (Scao et al. 2022, table 3). Its positions have no limit, and most of
its repositories name none; llama.cpp's converter would take the width of the model for it."""

BY_SIGMOID = ("deepseek_v3", "deepseek_v32", "dots1", "exaone_moe", "glm4_moe_lite", "minimax_m2")
"""Families that always score their experts by a sigmoid, and for which llama.cpp has no such default."""

GLM_BASE = 10000
"""The converter multiplies it by `rope_ratio` for GLM's base of rotary positions."""

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"


def spell(model: Path) -> None:
    """Rewrite the files of a folder of links; raises Corrupt for a file that is no JSON object."""
    shutil.rmtree(model / "additional_chat_templates", ignore_errors=True)
    snapshot = Snapshot(model)
    if (config := snapshot.json(CONFIG)) is not None:
        _replace(model / CONFIG, config, spell_config(config))
    if (tokenizer := snapshot.json(TOKENIZER)) is not None:
        own = snapshot.json(TOKENIZER_CONFIG) or {}
        _replace(model / TOKENIZER_CONFIG, own, spell_tokenizer_config(own, tokenizer))


def spell_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with the older names of what it says: GPT-2's `n_ctx`, GPT-NeoX's `rotary_pct`.

    A Falcon of the first design has one key head for all, whatever `num_kv_heads` says: transformers 5 writes the
    number of attention heads there, and llama.cpp's converter believes it. Some families always score their experts by
    a sigmoid; transformers 5 does not write so, and llama.cpp takes a softmax or does not run then. Cohere 2 rotates
    whole heads in transformers, whatever `rotary_pct` says. The converter reads GLM's fields by the names of the code
    that came before transformers knew it, and has defaults for them.
    """
    spelled, family = dict(config), config.get("model_type")
    if family == "bloom":
        spelled.setdefault("seq_length", BLOOM_CONTEXT)
    if family in BY_SIGMOID:
        spelled.setdefault("scoring_func", "sigmoid")
    if family == "cohere2":
        spelled["rotary_pct"] = 1.0
    if family == "falcon" and has_one_key_head(config):
        spelled["num_kv_heads"] = 1
    # transformers reads the newer names, so an older one beside them may be stale.
    if "n_positions" in config:
        spelled["n_ctx"] = config["n_positions"]
    rope = config.get("rope_parameters")
    if isinstance(rope, dict):
        for name, older in (("partial_rotary_factor", "rotary_pct"), ("rope_theta", "rotary_emb_base")):
            if family == "gpt_neox" and name in rope:
                spelled[older] = rope[name]
    if family == "glm":
        return _spell_glm(spelled)
    head = config.get("head_dim")
    if family == "minimax_m2" and isinstance(rope, dict) and isinstance(head, int):
        spelled.setdefault("rotary_dim", int(head * rope.get("partial_rotary_factor", 1.0)))
    return spelled


def _spell_glm(config: Mapping[str, Any]) -> dict[str, Any]:
    spelled = dict(config)
    named = {"seq_length": "max_position_embeddings", "layernorm_epsilon": "rms_norm_eps", "attention_dim": "head_dim"}
    for older, name in named.items():
        if name in config:
            spelled[older] = config[name]
    rope = config.get("rope_parameters") or config
    if isinstance(rope, dict) and "rope_theta" in rope:
        spelled["rope_ratio"] = rope["rope_theta"] / GLM_BASE
    return spelled


def spell_tokenizer_config(config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """Return tokenizer_config.json with the added tokens of tokenizer.json, and whether it puts a space first."""
    spelled = dict(config)
    added = _added_tokens(tokenizer)
    if added:
        spelled["added_tokens_decoder"] = {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"} for token in added
        }
    if marks_spaces(tokenizer):
        spelled["add_prefix_space"] = puts_space_first(tokenizer)
    return spelled


def spell_template(template: str, texts: Mapping[str, str]) -> str:
    """Return a chat template that sets those of the variables `texts` that it uses.

    They are special tokens that llama.cpp does not give a template as the source's tokenizer does. It knows two,
    `bos_token` and `eos_token`, by the tokens of config.json or its own defaults. The line break is no part of the
    text: both sides trim blocks.
    """
    used = {name: json.dumps(text, ensure_ascii=False) for name, text in sorted(texts.items()) if name in template}
    return "".join(f"{{% set {name} = {text} %}}\n" for name, text in used.items()) + template


def caveats_of_opening(tokens: int) -> list[Caveat]:
    """Return a caveat on a tokenizer that puts several tokens before a text: llama.cpp puts BOS alone, or none."""
    if tokens <= 1:
        return []
    text = f"llama.cpp puts at most one token before a text, and this tokenizer {tokens}"
    return [Caveat(text=text, explains="opening_parity")]


def marks_spaces(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a parsed tokenizer.json is a BPE of the SentencePiece kind, which falls back to bytes."""
    model = tokenizer.get("model")
    return isinstance(model, dict) and model.get("type") == "BPE" and bool(model.get("byte_fallback"))


def caveats_of_marks(tokenizer: Mapping[str, Any]) -> list[Caveat]:
    """Return a caveat on added tokens of a parsed tokenizer.json that are runs of U+2581, which stands for a space.

    Gemma's are such. The converter writes spaces for them, because llama.cpp shows texts of added tokens as they are.
    """
    texts = [str(token.get("content")) for token in _added_tokens(tokenizer)]
    if not marks_spaces(tokenizer) or not any(text and not text.strip(SPACE_MARK) for text in texts):
        return []
    text = "llama.cpp tokenizes U+2581, which stands for a space in this tokenizer, differently beside spaces"
    return [Caveat(text=text, explains="tokenizer_parity")]


def caveats_of_space(tokenizer: Mapping[str, Any]) -> list[Caveat]:
    """Return a caveat on the space that a parsed tokenizer.json puts before a text, if it does so by a Metaspace.

    Before a text that begins with its mark for a space, a Metaspace puts none. llama.cpp always puts one, and one
    behind each special token, where the scheme `first` has none.
    """
    found = _spacing(tokenizer) if marks_spaces(tokenizer) else []
    by_mark = any(step.get("replacement", SPACE_MARK) == SPACE_MARK for step in found)
    at_first = any(step.get("prepend_scheme") == "first" for step in found)
    without = [*(["begins with one"] if by_mark else []), *(["follows a special token"] if at_first else [])]
    if not without:
        return []
    text = f"llama.cpp puts a space before every text, and this tokenizer none before one that {' or '.join(without)}"
    return [Caveat(text=text, explains="tokenizer_parity_nfc")]


def puts_space_first(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a parsed tokenizer.json puts a space before a text."""
    prepended = any(step.get("type") == "Prepend" for step in steps(tokenizer.get("normalizer")))
    return prepended or bool(_spacing(tokenizer))


def with_space_first(tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parsed tokenizer.json that puts a space before every text where it puts one before some."""
    if not _spacing(tokenizer):
        return dict(tokenizer)
    own = tokenizer.get("normalizer")
    marked = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}
    normalizers = [*([own] if own else []), {"type": "Prepend", "prepend": SPACE_MARK}, marked]
    return {
        **tokenizer,
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": _without_space(tokenizer.get("pre_tokenizer")),
    }


def _spacing(tokenizer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the pre-tokenizers of a parsed tokenizer.json that put a space before a text unless it begins with one."""
    found = steps(tokenizer.get("pre_tokenizer"))
    return [step for step in found if step.get("type") == "Metaspace" and step.get("prepend_scheme") != "never"]


def _without_space(step: Any) -> Any:
    if isinstance(step, dict) and isinstance(inner := step.get("pretokenizers"), list):
        return {**step, "pretokenizers": [_without_space(one) for one in inner]}
    if not isinstance(step, dict) or step.get("type") != "Metaspace":
        return step
    # The older field of the same meaning must not contradict it.
    return {**{key: value for key, value in step.items() if key != "add_prefix_space"}, "prepend_scheme": "never"}


def _added_tokens(tokenizer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the added tokens of a parsed tokenizer.json."""
    listed = tokenizer.get("added_tokens")
    return [token for token in listed if isinstance(token, dict)] if isinstance(listed, list) else []


def steps(step: Any) -> list[Mapping[str, Any]]:
    """Flatten nested sequences of normalizers or pre-tokenizers."""
    if not isinstance(step, dict):
        return []
    inner = step.get("normalizers") or step.get("pretokenizers")
    return [found for each in inner for found in steps(each)] if isinstance(inner, list) else [step]


def _replace(path: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    if after != before:
        path.unlink(missing_ok=True)
        path.write_text(json.dumps(after, ensure_ascii=False), encoding="utf-8")

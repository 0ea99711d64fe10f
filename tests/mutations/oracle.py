"""What a source says, by the libraries alone, held against the reference that the product made of it.

Nothing here is the product's, but for the reference's files: tokenizers or sentencepiece cuts and decodes, transformers
computes and renders. It is the second opinion of a source that was changed: the gates compare an artifact with the
reference.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from tasks.evaluation.reference_files import Chats, Generations, ParityTexts, ServedCases, read_part

FARTHEST = 1e-4
"""Nats: the largest difference of a log-probability that another order of float32 sums explains."""


def differences(snapshot: Path, reference: Path) -> Iterator[str]:
    """Yield the parts of a reference that are not the source's, with what differs."""
    tokenizer = load_tokenizer(snapshot)
    for case in read_part(reference, "parity.json", ParityTexts).cases:
        ids = tokenizer.encode(case.text, add_special_tokens=False).ids
        if ids != list(case.token_ids) and can_cut(tokenizer, case.text):
            yield f"tokens of {case.name!r}: the reference has {case.token_ids[:8]}, the library {ids[:8]}"
            break
    served = read_part(reference, "served.json", ServedCases)
    for prompt in served.prompts:
        if prompt.prompt is None or prompt.name.endswith("opened already"):
            continue
        ids = tokenizer.encode(prompt.prompt).ids
        if ids != list(prompt.token_ids) and can_cut(tokenizer, prompt.prompt):
            yield f"opening: the reference has {prompt.token_ids[:4]}, the library {ids[:4]}"
            break
    for one in served.continuations:
        before = tokenizer.decode(list(one.prompt_ids))
        whole = tokenizer.decode([*one.prompt_ids, *one.token_ids])
        if whole.startswith(before) and whole[len(before) :] != one.text:
            yield f"text of {one.name!r}: the reference has {one.text[:20]!a}, not {whole[len(before) :][:20]!a}"
            break
    yield from _ends(snapshot, tokenizer, read_part(reference, "generations.json", Generations).stop_ids)
    yield from _chats(snapshot, reference)
    yield from _logits(snapshot, reference)


class Pieces:
    """tokenizer.model by the library sentencepiece, with the methods of `tokenizers.Tokenizer` that are used here.

    As in transformers, what tokenizer_config.json names is special, and so is what added_tokens.json adds. A named
    token that is no piece gets the next id. The source's class is LlamaTokenizer, with its defaults in transformers 4.
    """

    def __init__(self, snapshot: Path) -> None:
        from sentencepiece import SentencePieceProcessor
        from sentencepiece.sentencepiece_model_pb2 import ModelProto

        self._added = _json(snapshot / "added_tokens.json")
        config = _json(snapshot / "tokenizer_config.json")
        proto = ModelProto.FromString((snapshot / "tokenizer.model").read_bytes())
        if config.get("add_prefix_space") is False:
            proto.normalizer_spec.add_dummy_prefix = False
        self._pieces: Any = SentencePieceProcessor(model_proto=proto.SerializeToString())
        named = (_text(value) for field, value in config.items() if field.endswith("_token"))
        self._named = {text for text in named if text}
        for text in sorted(self._named):
            if self.token_to_id(text) is None and text != self._pieces.id_to_piece(self._pieces.unk_id()):
                self._added[text] = max([len(self._pieces) - 1, *self._added.values()]) + 1
        opening = self.token_to_id(_text(config.get("bos_token", "<s>")) or "")
        self._opening = [opening] if config.get("add_bos_token", True) and opening is not None else []
        others = [piece for piece in range(len(self._pieces)) if not self._ordinary(piece)]
        self.marks = {*map(self._pieces.id_to_piece, others), *self._added, *self._named}

    def encode(self, text: str, add_special_tokens: bool = True) -> SimpleNamespace:
        """Return `ids`. The library takes special tokens in a text for plain text."""
        return SimpleNamespace(ids=[*self._opening * add_special_tokens, *self._pieces.encode(text)])

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text without special tokens."""
        return str(self._pieces.decode([one for one in ids if one < len(self._pieces) and self._ordinary(one)]))

    def token_to_id(self, text: str) -> int | None:
        """Return the id of a piece or an added token."""
        found = self._added.get(text, self._pieces.piece_to_id(text))
        return None if found == self._pieces.unk_id() else int(found)

    def get_vocab_size(self) -> int:
        """Return the number of pieces and added tokens."""
        return len(self._pieces) + len(self._added)

    def _ordinary(self, piece: int) -> bool:
        named = self._pieces.id_to_piece(piece) in self._named
        return not (named or self._pieces.is_control(piece) or self._pieces.is_unknown(piece))


def can_cut(tokenizer: Tokenizer | Pieces, text: str) -> bool:
    """Return whether the library parses all special tokens of a text: sentencepiece parses none."""
    return isinstance(tokenizer, Tokenizer) or not any(mark in text for mark in tokenizer.marks)


def load_tokenizer(snapshot: Path) -> Tokenizer | Pieces:
    """Return the tokenizer of tokenizer.json, else of tokenizer.model.

    What tokenizer_config.json names is special, as transformers has it.
    """
    if not (snapshot / "tokenizer.json").exists():
        return Pieces(snapshot)
    tokenizer = Tokenizer.from_file(str(snapshot / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    named = _json(snapshot / "tokenizer_config.json")
    texts = [_text(value) for field, value in named.items() if field.endswith("_token")]
    tokenizer.add_special_tokens([text for text in texts if text and tokenizer.token_to_id(text) is not None])
    return tokenizer


def _ends(snapshot: Path, tokenizer: Tokenizer | Pieces, found: tuple[int, ...]) -> Iterator[str]:
    """What transformers' `generate` stops at must be among the ends, and every end must be named somewhere."""
    generation, config, words = (
        _json(snapshot / f"{name}.json") for name in ("generation_config", "config", "tokenizer_config")
    )
    generated = _ids(generation.get("eos_token_id"))
    text = _text(words.get("eos_token"))
    named = tokenizer.token_to_id(text) if text else None
    every = generated | _ids(config.get("eos_token_id")) | _ids(named)
    if not generated <= set(found) <= every | _ids(tokenizer.token_to_id("</s>")):
        yield f"ends: the reference has {sorted(found)}, generation {sorted(generated)}, all files {sorted(every)}"


def _chats(snapshot: Path, reference: Path) -> Iterator[str]:
    known: Any = PreTrainedTokenizerFast if (snapshot / "tokenizer.json").exists() else AutoTokenizer
    tokenizer: Any = known.from_pretrained(snapshot, local_files_only=True)
    # transformers reads this file for models of images only; it is a template nevertheless.
    template = tokenizer.chat_template or _json(snapshot / "chat_template.json").get("chat_template")
    if isinstance(template, dict):
        template = template.get("default")
    if not (reference / "chats.json").exists():
        if template:
            yield "chats: the reference has none, and the source has a template"
        return
    for case in read_part(reference, "chats.json", Chats).cases:
        text = tokenizer.apply_chat_template(
            list(case.messages),
            chat_template=template,
            tokenize=False,
            add_generation_prompt=case.add_generation_prompt,
        )
        if text != case.text:
            yield f"chat {case.name!r}: the reference has {case.text[:40]!a}, transformers {text[:40]!a}"
            return


def _logits(snapshot: Path, reference: Path) -> Iterator[str]:
    model: Any = AutoModelForCausalLM.from_pretrained(snapshot, dtype=torch.float32, local_files_only=True).eval()
    info = json.loads((reference / "reference.json").read_bytes())
    for folder in (reference, reference / "long"):
        if not (folder / "tokens.npy").exists():
            continue
        ids = torch.from_numpy(np.load(folder / "tokens.npy").astype(np.int64))
        with torch.inference_mode():
            wanted = torch.log_softmax(model(input_ids=ids, use_cache=False).logits.double(), -1)
        if info["kind"] == "top-k":
            wanted = wanted.gather(-1, torch.from_numpy(np.load(folder / "top-ids.npy").astype(np.int64)))
            kept = torch.from_numpy(np.load(folder / "top-logprobs.npy")).double()
        else:
            kept = torch.log_softmax(_kept_logits(reference, folder, info), -1)
        farthest = float((kept - wanted).abs().max())
        if not farthest <= FARTHEST:
            yield f"logits: the reference is off by {farthest:.2g} nats in {folder.name}"


def _kept_logits(reference: Path, folder: Path, info: dict[str, Any]) -> torch.Tensor:
    """Return the logits that a reference of the kind "exact" gives back, by the formula of its documentation."""
    head = np.load(reference / "head.npy")
    if head.dtype == np.uint16:
        head = (head.astype(np.uint32) << 16).view(np.float32)
    logits = torch.from_numpy(np.load(folder / "hidden.npy")).double() @ torch.from_numpy(head).double().T
    if (reference / "head-bias.npy").exists():
        logits += torch.from_numpy(np.load(reference / "head-bias.npy")).double()
    logits *= info["scale"]
    cap = info["soft_cap"]
    return torch.tanh(logits / cap) * cap if cap else logits


def _ids(value: Any) -> set[int]:
    named = value if isinstance(value, list) else [value]
    return {one for one in named if isinstance(one, int) and one >= 0}


def _text(value: Any) -> str | None:
    found = value.get("content") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return content

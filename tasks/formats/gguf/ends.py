"""How a GGUF file says which tokens end a text.

llama.cpp ends a text at three tokens that the file names (EOS, EOT, EOM), and at every token whose text is one that it
knows as an end (src/llama-vocab.cpp). So a fourth end of an unknown text is lost, and a base model ends at the end of a
turn that it never learned. A file of ours also names all ends in a field of its own, which llama.cpp ignores:

    tokenizer.hallmark.end_token_ids   string, decimal ids with commas between, such as "1,4"

Serving ends at a token if llama.cpp does and this field names it. llama.cpp's own programs, such as llama-server, end
at every token at which llama.cpp does.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

END_IDS = "tokenizer.hallmark.end_token_ids"

KNOWN_TEXTS = frozenset(
    (
        "<|eot_id|>",
        "<|im_end|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|flush|>",
        "<|calls|>",
        "<end_of_turn>",
        "<|endoftext|>",
        "</s>",
        "<|eom_id|>",
        "<EOT>",
        "_<EOT>",
        "[EOT]",
        "[EOS]",
        "<|end_of_text|>",
        "<eos>",
        "<end_of_utterance>",
        "<turn|>",
        "<|tool_response>",
        "[e~[",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
    )
)
"""Texts of tokens at which llama.cpp 0.3.36's bindings end a text whatever the file names."""


CONTROL_TEXTS = frozenset(
    (
        *("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "\u2581<PRE>", "<|code_prefix|>", "<|prefix|>"),
        *("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "\u2581<SUF>", "<|code_suffix|>", "<|suffix|>"),
        *("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "\u2581<MID>", "<|code_middle|>", "<|middle|>"),
        *("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
        *("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"),
        *("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),
    )
)
"""Texts of tokens that they make control tokens, to fill in code: at some of them they end a text, too."""


def with_ends(special: Mapping[str, int], ends: Mapping[int, str | None]) -> dict[str, int]:
    """Return a file's special tokens (`eos`, `bos` ...) so that llama.cpp ends a text at as many of `ends` as it can.

    special: what the converter wants to write, by the names of its fields. ends: each end's id and text.
    """
    found = {kind: token for kind, token in special.items() if kind not in ("eot", "eom") or token in ends}
    if ends and found.get("eos") not in ends:
        found["eos"] = min(ends)
    named = {found.get(kind) for kind in ("eos", "eot", "eom")}
    unknown = [token for token, text in sorted(ends.items()) if token not in named and text not in KNOWN_TEXTS]
    free = [kind for kind in ("eot", "eom") if kind not in found]
    return {**found, **dict(zip(free, unknown, strict=False))}


SPACE = "\u0120"
"""Stands for a space in the tokens of a byte-level tokenizer."""


def other_texts(
    tokens: Sequence[str], ordinary: Iterable[int], cut: Callable[[str], Collection[int]]
) -> dict[int, str]:
    """Return new texts for ordinary tokens of a byte-level tokenizer that llama.cpp would take for control tokens.

    llama.cpp reads such a token wherever a text has its characters. Qwen's tokenizer has `</s>` among its tokens and
    cuts this text into `</`, `s` and `>`. A token that no text is cut into needs no text of its own; it gets one with a
    space more, which no text is cut into either. Tokens that the source itself cuts keep their texts.

    tokens: the texts, by id. ordinary: the ids of those that are neither special nor added, and end no text.
    cut: the ids of a text, by the source's tokenizer.
    """
    known, found = set(tokens), dict[int, str]()
    mistaken = KNOWN_TEXTS | CONTROL_TEXTS
    for token in ordinary:
        text = tokens[token]
        if text not in mistaken or any(token in cut(around) for around in (text, f" {text}", f"a{text}a")):
            continue
        while text in known:
            text = f"{text[0]}{SPACE}{text[1:]}"
        found[token] = text
        known.add(text)
    return found


def caveats_of_texts(renamed: Mapping[int, str]) -> list[str]:
    """Return a sentence on tokens that have another text than in the source. renamed: their own texts, by id."""
    texts = ", ".join(f"{text!r} ({token})" for token, text in sorted(renamed.items()))
    if not renamed:
        return []
    return [
        f"The file has other texts for the tokens {texts}, because llama.cpp would take them for control tokens; the "
        "source never tokenizes a text into them."
    ]


def end_ids_text(ends: Iterable[int]) -> str:
    """Return the value of the field END_IDS."""
    return ",".join(map(str, ends))


def caveats_of_ends(ends: Collection[int], engine: Mapping[int, str]) -> list[str]:
    """Return a sentence on the tokens at which llama.cpp's own programs end a text, and the source goes on.

    ends: at which the source ends a text. engine: at which llama.cpp does by the file; the texts by their ids.
    """
    added = [f"{text!r} ({token})" for token, text in sorted(engine.items()) if token not in ends]
    if not added:
        return []
    return [
        f"llama-server and llama.cpp's other programs also end a text at {', '.join(added)}, where the source goes on; "
        "the loader in MLflow ends it where the source does."
    ]

"""Gathers every token that ends a text or a turn, from all files that may name one."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tasks.checkpoint.named_tokens import token_text


def gather_ends(
    configurations: Iterable[Mapping[str, Any]],
    tokens: Iterable[Mapping[str, Any]],
    others: Iterable[str | None],
    vocabulary: Mapping[str, int],
) -> tuple[int, ...]:
    """Return the ids, sorted.

    configurations: those that name ends by `eos_token_id`, an id or a list of ids, also in their `text_config`.
    tokens: those that name one by `eos_token`, a text or an object with `content`.
    others: texts of further tokens.
    vocabulary: the id of each token's text, added ones included. A text that is no token is no end.
    """
    ends: set[int] = set()
    for content in configurations:
        for part in (content, content.get("text_config")):
            value = part.get("eos_token_id") if isinstance(part, Mapping) else None
            named = value if isinstance(value, list) else [value]
            ends |= {one for one in named if isinstance(one, int) and not isinstance(one, bool) and one >= 0}
    texts = [*(token_text(content.get("eos_token")) for content in tokens), *others]
    ends |= {vocabulary[text] for text in texts if text is not None and text in vocabulary}
    return tuple(sorted(ends))


def without_stale_ends(
    config: Mapping[str, Any], generation: Mapping[str, Any], marks: Collection[int] | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return config.json without ends that are ordinary text, and a note on each of them.

    Where generation_config.json names ends, config.json may be older: another end of its own counts only if its token
    is an added or special one.

    marks: the ids of such tokens; None if they are not known.
    """
    named = gather_ends((generation,), (), (), {})
    if marks is None or not named:
        return dict(config), ()
    stale = [end for end in gather_ends((config,), (), (), {}) if end not in named and end not in marks]
    settled = _without(config, stale)
    if isinstance(text := config.get("text_config"), dict):
        settled["text_config"] = _without(text, stale)
    return settled, tuple(
        f"config.json: eos_token_id names {end}, which is an ordinary token and which generation_config.json does not "
        "name, so it ends no text."
        for end in stale
    )


def _without(content: Mapping[str, Any], stale: Collection[int]) -> dict[str, Any]:
    value = content.get("eos_token_id")
    named = value if isinstance(value, list) else [value]
    return {**content, "eos_token_id": [one for one in named if one not in stale]}


def with_ends(content: Mapping[str, Any], ends: Sequence[int]) -> dict[str, Any]:
    """Return a configuration that names just these ends, at its top and where its `text_config` names any.

    A field that names them already keeps its order. Without `ends`, nothing changes.
    """
    settled = _with_own_ends(content, ends)
    if isinstance(text := content.get("text_config"), dict) and text.get("eos_token_id") is not None:
        settled["text_config"] = _with_own_ends(text, ends)
    return settled


def _with_own_ends(content: Mapping[str, Any], ends: Sequence[int]) -> dict[str, Any]:
    value = content.get("eos_token_id")
    if not ends or set(value if isinstance(value, list) else [value]) == set(ends):
        return dict(content)
    return {**content, "eos_token_id": list(ends) if len(ends) > 1 else ends[0]}

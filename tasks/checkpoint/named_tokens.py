"""Settles the tokens that tokenizer_config.json and special_tokens_map.json name or add, such as `eos_token`.

transformers takes an object for a token only if it has the mark `__type`, and adds a token that the tokenizer lacks.
Files of older releases have objects without the mark, and some name a token for which the model has no row.
"""

from collections.abc import Collection, Mapping
from typing import Any

from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt

CONFIG, MAP = "tokenizer_config.json", "special_tokens_map.json"

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
WRITTEN = ("bos_token", "eos_token")
"""Those that stand in prompts and chats. The others are of no use to a model that only continues a text."""

LISTS = ("additional_special_tokens", "extra_special_tokens")
"""Fields that name further special tokens, in older files and in those of transformers 5."""

NAMES = ("model_specific_special_tokens", "extra_special_tokens")
"""Objects of transformers 5 that name tokens for chat templates by the template's variable."""

PASSWORDS = ("hub_token", "use_auth_token")
"""Arguments of older releases of transformers that are no tokens of a text. Their values are secrets."""

DECODER = "added_tokens_decoder"
"""The field of tokenizer_config.json with all added tokens, by their ids."""

MARK = {"__type": "AddedToken"}


def read_named(snapshot: Snapshot) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return tokenizer_config.json with what special_tokens_map.json names, and a note on each contradiction.

    transformers reads the second file only if the first one has no list of added tokens, and then believes it.
    A field that names the empty text names no token, and is left out: some tokenizers cannot be built with it.
    A token in one of the objects NAMES stands at the top, where every reader looks.
    """
    contents = [snapshot.json(name) or {} for name in (CONFIG, MAP)]
    empty = {
        name: ", ".join(field for field in content if _names_nothing(field, content[field]))
        for name, content in zip((CONFIG, MAP), contents, strict=True)
    }
    own, others = (
        {field: value for field, value in content.items() if not _names_nothing(field, value)} for content in contents
    )
    believed = CONFIG if DECODER in own else MAP
    notes = [
        f"{name}: the empty text of {fields} is no token; the release leaves it out."
        for name, fields in empty.items()
        if fields
    ]
    for field in NAMED:
        texts = [token_text(content.get(field)) for content in (own, others)]
        if None not in texts and texts[0] != texts[1]:
            one, two = (reason(repr(text)) for text in texts)
            notes.append(f"{field} is {one} in {CONFIG} and {two} in {MAP}; the release believes {believed}.")
    config = _flat(own if DECODER in own else {**own, **others})
    # transformers takes an object without this mark for a token in the second file only, and in a list nowhere.
    marked: dict[str, Any] = {
        field: {**config[field], **MARK} for field in named_texts(config) if isinstance(config[field], dict)
    }
    for field in LISTS:
        if isinstance(listed := config.get(field), list):
            marked[field] = [{**token, **MARK} if isinstance(token, dict) else token for token in listed]
    return {**config, **marked}, tuple(notes)


def named_texts(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of each field that names one token: of NAMED, then of a publisher's own.

    A chat template has a variable of the field's name.
    """
    own = (field for field in config if field.endswith("_token") and field not in (*NAMED, *PASSWORDS))
    return {field: text for field in (*NAMED, *own) if (text := token_text(config.get(field)))}


def _names_nothing(field: str, value: Any) -> bool:
    return field.endswith("_token") and token_text(value) == ""


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with the fields of the objects NAMES at the top, and all others in the last of these.

    transformers replaces the first object by the fields that it finds at the top, so nothing may be left in it.
    """
    objects = {field: named for field in NAMES if isinstance(named := config.get(field), dict)}
    first, last = NAMES
    if isinstance(config.get(last), list) and set(objects.get(first, {})) - set(named_texts(objects.get(first, {}))):
        # A list has no place for the others.
        del objects[first]
    flat = {field: value for field, value in config.items() if field not in objects}
    others = dict[str, Any]()
    for named in objects.values():
        top = named_texts(named)
        flat |= {name: named[name] for name in top}
        others |= {name: one for name, one in named.items() if name not in top and not _names_nothing(name, one)}
    return {**flat, last: others} if others else flat


def settle_named(
    config: Mapping[str, Any], known: Mapping[str, int], rows: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the configuration with marked objects and without tokens that have no row, and a note on each of those.

    known: the id of each token of the tokenizer's file, added ones included, by its text.
    rows: the number of the model's tokens; 0 if it is not known.
    Raises Corrupt where the token that begins or ends a text has no row.
    """
    settled, vocabulary = dict(config), _Vocabulary(known, rows)
    notes = []
    for field, text in named_texts(config).items():
        value = config[field]
        if isinstance(value, dict):
            settled[field] = {**value, **MARK}
        if vocabulary.takes(text):
            continue
        what = _without_row(f"{field} is", [text])
        if field in WRITTEN:
            raise Corrupt(f"{what}; ask the publisher to fix it.")
        del settled[field]
        notes.append(f"{what}; the release leaves it out.")
    for field in (DECODER, *LISTS):
        value = config.get(field)
        entries = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
        tokens = {key: token for key, token in entries.items() if isinstance(token, dict) or field != DECODER}
        texts = {key: found for key, token in tokens.items() if (found := token_text(token)) is not None}
        if left_out := {key: text for key, text in texts.items() if not vocabulary.takes(text)}:
            kept = {key: token for key, token in entries.items() if key not in left_out}
            settled[field] = kept if isinstance(value, dict) else list(kept.values())
            notes.append(f"{_without_row(f'{field} names', left_out.values())}; the release leaves it out.")
    return settled, tuple(notes)


class _Vocabulary:
    """The tokens of a tokenizer's file, and those that transformers adds: each gets the next id."""

    def __init__(self, known: Mapping[str, int], rows: int) -> None:
        self._known = dict(known)
        self._rows = rows
        self._following = max(known.values(), default=-1) + 1

    def takes(self, text: str) -> bool:
        """Whether the model has a row for a token, which is added if it is none yet. The empty text gets none."""
        if not text or text in self._known:
            return True
        if self._rows and self._following >= self._rows:
            return False
        self._known[text] = self._following
        self._following += 1
        return True


def _without_row(named: str, texts: Collection[str]) -> str:
    return (
        f"tokenizer_config.json: {named} {reason(', '.join(map(repr, texts)))}, which is no token of tokenizer.json, "
        "and the model has no row for another token"
    )


def ids_of(pieces: Mapping[str, int], added: Collection[Any]) -> dict[str, int]:
    """Return the id of each token by its text: of the own vocabulary of a tokenizer.json, and of its `added_tokens`."""
    tokens = (token for token in added if isinstance(token, dict))
    return {**pieces, **{str(token["content"]): token["id"] for token in tokens if type(token.get("id")) is int}}


def token_text(value: Any) -> str | None:
    """Return the text of a special token, which a file gives as a text or as an object with `content`."""
    found = value.get("content") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None

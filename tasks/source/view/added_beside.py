"""Settles the tokens that a repository adds to its tokenizer in files beside it.

added_tokens.json gives each token an id and no flags. transformers reads it unless tokenizer_config.json has the field
`added_tokens_decoder`, and parses its tokens in texts whatever tokenizer.json lists. Engines that read tokenizer.json
alone would cut them into characters.
"""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.named_tokens import DECODER, LISTS, ids_of, named_texts, token_text
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused
from tasks.source.view.from_sentencepiece import TOKEN_FLAGS

FILE = "added_tokens.json"
CONFIG = "tokenizer_config.json"
NONE = dict.fromkeys(TOKEN_FLAGS, False)


def read_added_file(snapshot: Snapshot) -> dict[str, int]:
    """Return the ids of added_tokens.json by the texts; raises Corrupt for a value that is no id."""
    listed = snapshot.json(FILE) or {}
    for text, number in listed.items():
        if type(number) is not int or number < 0:
            raise Corrupt(
                f"{FILE}: the token {reason(repr(text))} has the id {reason(repr(number))}, which is no whole number "
                "from 0 on; ask the publisher to fix it."
            )
    return dict(listed)


def added_beside_model(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """Return the tokens that files beside a SentencePiece model add to it: `id` and flags, by text.

    transformers takes the tokens of added_tokens.json for ordinary, unnormalized ones here.
    """
    found = {text: {"id": number, **NONE} for text, number in read_added_file(snapshot).items()}
    decoder = (snapshot.json(CONFIG) or {}).get(DECODER)
    for number, token in decoder.items() if isinstance(decoder, dict) else ():
        text = token_text(token)
        if text is not None and number.isdecimal():
            flags = {flag: token[flag] for flag in TOKEN_FLAGS if isinstance(token, dict) and flag in token}
            found[text] = {"id": int(number), **NONE, **flags}
    return found


def added_beside_json(
    snapshot: Snapshot,
    content: Mapping[str, Any],
    pieces: Mapping[str, int],
    config: Mapping[str, Any],
    rows: int,
) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Return the tokens of added_tokens.json that a tokenizer.json does not add, `id` and flags by text; and notes.

    tokenizer.json is the truth of the ids. A token for which the model has no row is left out.

    content, pieces: the parsed tokenizer.json, and the ids of its own vocabulary.
    config: tokenizer_config.json with special_tokens_map.json. rows: the number of the model's tokens; 0 if unknown.
    """
    if DECODER in (snapshot.json(CONFIG) or {}):
        return {}, ()
    listed = content.get("added_tokens") or ()
    known, parsed = ids_of(pieces, listed), ids_of({}, listed)
    special = _special(config)
    added, notes = dict[str, dict[str, Any]](), list[str]()
    for text, number in read_added_file(snapshot).items():
        what = f"{FILE} gives the token {reason(repr(text))} the id {number}"
        if (own := known.get(text, number)) != number:
            notes.append(f"{what}, and tokenizer.json gives it {own}; tokenizer.json is the tokenizer.")
        if text in parsed:
            continue
        if rows and own >= rows:
            notes.append(f"{what}, and the model has {rows} tokens; the release leaves it out.")
            continue
        # transformers looks for ordinary tokens in the normalized text.
        flags = {**NONE, "special": text in special, "normalized": text not in special}
        added[text] = {"id": own, **flags}
    if added:
        named = reason(", ".join(map(repr, added)))
        notes.append(f"{FILE} names tokens that tokenizer.json does not add ({named}); the release's file adds them.")
    return added, tuple(notes)


def with_added(content: Mapping[str, Any], added: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a parsed tokenizer.json that adds these tokens, too."""
    further = [{"content": text, **token} for text, token in added.items()]
    if not further:
        return dict(content)
    # The library takes the tokens in the order of their ids.
    listed = [*(content.get("added_tokens") or ()), *further]
    return {**content, "added_tokens": sorted(listed, key=lambda token: token["id"])}


def first_other_id(loaded: Any, ids: Mapping[str, int]) -> str | None:
    """Return the first added token that transformers' tokenizer gives another id; None if there is none.

    The library tokenizers ignores a token with the empty text.
    """
    return next((text for text, said in ids.items() if text and loaded.convert_tokens_to_ids(text) != said), None)


def check_ids(loaded: Any, ids: Mapping[str, int], where: str, remedy: str) -> None:
    """Raise Refused where transformers' tokenizer gives an added token another id than `where` says.

    ids: those that `where` gives, by the text of the token.
    """
    if (text := first_other_id(loaded, ids)) is not None:
        raise Refused(
            f"The token {reason(repr(text))} has the id {ids[text]} in {where}, and transformers gives it the id "
            f"{loaded.convert_tokens_to_ids(text)}; ask the publisher to {remedy}."
        )


def _special(config: Mapping[str, Any]) -> set[str | None]:
    """Return the texts of the tokens that a configuration names as special ones."""
    lists = (config.get(field) for field in LISTS)
    further = (token for listed in lists if isinstance(listed, list) for token in listed)
    return {*named_texts(config).values(), *map(token_text, further)}

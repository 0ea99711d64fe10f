"""Settles the tokenizer: which file is the truth, what it puts around a text, and the class that loads it.

The truth is tokenizer.json, cut by the library tokenizers, or a SentencePiece model, cut by the library sentencepiece.
transformers' classes rebuild some tokenizers and drop steps of the file. A class that cuts one text in another way than
the file is replaced by the class that takes the file as it is.
"""

import json
from collections.abc import Collection, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tasks.checkpoint.around import Ids, around
from tasks.checkpoint.companions import SENTENCEPIECE, TOKENIZER, is_companion
from tasks.checkpoint.model_config import CONFIG as MODEL
from tasks.checkpoint.named_tokens import CONFIG, MAP, NAMED, ids_of, read_named, settle_named, token_text
from tasks.checkpoint.parity_texts import WRITTEN, choose_tokens, generated_texts, special_token_texts
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.special_ids import count_rows
from tasks.checkpoint.view_files import keep, write
from tasks.errors import Corrupt, Refused, Unsupported
from tasks.source.view import added_beside
from tasks.source.view.added_beside import added_beside_json, added_beside_model, check_ids, first_other_id, with_added
from tasks.source.view.added_tokens import complete_added_tokens
from tasks.source.view.class_defaults import drop_space, find_class, space_before, with_defaults
from tasks.source.view.cuts import FEW, Cuts, Difference, NotLoaded, cut_by_file, first_difference
from tasks.source.view.file_first import follow_file, settle_content
from tasks.source.view.from_sentencepiece import TOKEN_FLAGS, spell_as_json

FILE = "tokenizer.json"
FLAGS = ("add_bos_token", "add_eos_token")

PLAIN_CLASS = "PreTrainedTokenizerFast"
"""transformers' class that takes tokenizer.json as it is."""


@dataclass(frozen=True)
class Settled:
    """The settled tokenizer.

    file: the file that is the truth; None if the source has no tokenizer.
    loaded: transformers' tokenizer of the view; None if the source has none, or one of files that are not read.
    opening, closing: what it puts before and after a text.
    class_replaced: why the class that the source names was replaced.
    notes: what was left out; whole sentences.
    """

    file: str | None = None
    loaded: Any = None
    opening: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()
    class_replaced: str | None = None
    notes: tuple[str, ...] = ()


def settle_tokenizer(snapshot: Snapshot, view: Path) -> Settled:
    """Write the tokenizer's files into the view, which has its config.json already.

    Raises Corrupt for a tokenizer.json that does not load, Unsupported where no class of transformers loads it, and
    Refused where two tokenizer files contradict each other and no rule says which one is the truth, where transformers
    cuts texts in another way than the file, or where an added token has another id than its file says.
    """
    content = snapshot.json(FILE)
    config, unlike = read_named(snapshot)
    config.pop("chat_template", None)
    if content is None:
        settled = _without_json(snapshot, view, config)
        return replace(settled, notes=(*unlike, *settled.notes))
    rows = count_rows(snapshot)
    content, dropped = settle_content(content, rows)
    write(snapshot, view, FILE, content)
    cuts = _cut_by_json(view / FILE, content)
    added, from_file = added_beside_json(snapshot, content, cuts.pieces, config, rows)
    if added:
        content = with_added(content, added)
        write(snapshot, view, FILE, content)
        cuts = _cut_by_json(view / FILE, content)
    config, beside = follow_file(config, content)
    kept, notes = _second_file(snapshot, cuts, content)
    for name in kept:
        keep(snapshot, view, name)
    known = ids_of(cuts.pieces, content.get("added_tokens") or ())
    config, left_out = settle_named(config, known, rows)
    write(snapshot, view, CONFIG, config)
    found = _load(view)
    opening, closing = cuts.opening, cuts.closing
    if found is not None:
        config = _with_named(config, found, known)
        around_text = _around(found)
        if around_text != (opening, closing) and any(isinstance(config.get(flag), bool) for flag in FLAGS):
            # The class does what tokenizer_config.json says, and the post-processor of tokenizer.json does not.
            opening, closing = around_text
            write(snapshot, view, FILE, _opened(content, found, opening, closing))
    for flag, ids in zip(FLAGS, (opening, closing), strict=True):
        if isinstance(config.get(flag), bool) and config[flag] != bool(ids):
            if config[flag]:
                notes += (f"{CONFIG} says {flag}: true, and neither {FILE} nor transformers does so.",)
            del config[flag]
    write(snapshot, view, CONFIG, config)
    truth = Cuts(cuts.ids, opening, closing, cuts.pieces)
    numbers = ids_of({}, content.get("added_tokens") or ())
    loaded, replaced, _ = _settle_class(snapshot, view, config, truth, FILE, added_tokens(content), numbers)
    complete_added_tokens(snapshot, view, loaded)
    if loaded is not None:
        check_ids(loaded, {text: token["id"] for text, token in added.items()}, added_beside.FILE, "fix it")
        # The library numbers added tokens itself: on from the vocabulary, or by the vocabulary's own id of the text.
        check_ids(loaded, numbers, FILE, "fix it")
    return Settled(
        FILE, loaded, opening, closing, replaced, (*unlike, *dropped, *from_file, *beside, *notes, *left_out)
    )


def _cut_by_json(path: Path, content: Mapping[str, Any]) -> Cuts:
    try:
        return cut_by_file(path, _texts(_added_flags(content)))
    except NotLoaded as error:
        raise Corrupt(f"{FILE} does not load ({error}); ask the publisher to fix it.") from error


def _without_json(snapshot: Snapshot, view: Path, config: Mapping[str, Any]) -> Settled:
    """Settle a source without tokenizer.json: a SentencePiece model is the truth, used as its class used it.

    Its files stay as they are, but for what class_defaults.py spells out. Where transformers cuts in another way than
    the model, the view also gets a tokenizer.json that is made of it.

    config: tokenizer_config.json with what special_tokens_map.json names.
    """
    names = [path.name for path in sorted(snapshot.folder.iterdir()) if is_companion(path.name, TOKENIZER)]
    for name in names:
        if name != MAP:
            keep(snapshot, view, name)
    file = next((name for name in SENTENCEPIECE if name in names), None)
    if file is None:
        write(snapshot, view, CONFIG, config)
        others = [name for name in names if name.startswith("vocab.") or name.endswith(".tiktoken")]
        return _from_class(snapshot, view, config, others)
    try:
        cuts = cut_by_file(view / file, _texts({}))
        own_class = find_class(config, snapshot.json(MODEL) or {})
        space = space_before(config, own_class)
        if space == "never":
            drop_space(view / file)
            cuts = cut_by_file(view / file, _texts({}))
    except NotLoaded as error:
        raise Corrupt(f"{file} does not load ({error}); ask the publisher to fix it.") from error
    config, told = with_defaults(config, own_class, cuts.pieces)
    write(snapshot, view, CONFIG, config)
    found = _load(view)
    # The library sentencepiece puts nothing around a text; what is put there is the class's own.
    opening, closing = _around(found) if found is not None else ((), ())
    truth = Cuts(cuts.ids, opening, closing, cuts.pieces)
    difference = _difference(found, truth, ()) if found is not None else None
    if difference and not difference.few and _renumbers(found, truth):
        note = f"{type(found).__name__} gives the pieces of {file} ids of its own, so its ids are the tokenizer's."
        return Settled(file, found, opening, closing, notes=(*told, note))
    if found is not None and difference is not None:
        _refuse_other_ids(found, truth, file)
    added = added_beside_model(snapshot)
    if found is None or difference is not None:
        made = spell_as_json(view / file, added, space)
        if made is not None:
            write(snapshot, view, FILE, _opened(made, found, opening, closing) if found is not None else made)
    loaded, replaced, notes = _settle_class(snapshot, view, config, truth, file, ())
    complete_added_tokens(snapshot, view, loaded)
    if loaded is not None:
        ids = {text: token["id"] for text, token in added.items()}
        check_ids(loaded, ids, f"the files beside {file}", f"add {FILE}")
    return Settled(file, loaded, opening, closing, replaced, (*told, *notes))


def _from_class(snapshot: Snapshot, view: Path, config: Mapping[str, Any], files: Sequence[str]) -> Settled:
    """Settle a source whose tokenizer only transformers reads, of vocab.json and merges.txt.

    The view also gets a tokenizer.json, which is what transformers made of them.
    """
    loaded = _load(view) if files else None
    backend = getattr(loaded, "backend_tokenizer", None)
    opening, closing = _around(loaded) if loaded is not None else ((), ())
    if backend is None:
        return Settled(next(iter(files), None), loaded, opening, closing)
    content = json.loads(backend.to_str())
    write(snapshot, view, FILE, content)
    truth = _cut_by_json(view / FILE, content)
    settled, replaced, notes = _settle_class(snapshot, view, config, truth, FILE, added_tokens(content))
    return Settled(files[0], settled, opening, closing, replaced, notes)


def _second_file(snapshot: Snapshot, cuts: Cuts, content: Mapping[str, Any]) -> tuple[list[str], tuple[str, ...]]:
    """Return the SentencePiece models beside tokenizer.json that are kept, and notes.

    tokenizer.json is the tokenizer. A model that differs from it in few texts is another form of it, and is kept for
    the converters that read it. Left out are a file that the library does not load, a model that lacks tokens, and one
    that differs in more texts and has fewer tokens or the same. Raises Refused for one that could as well be the truth.
    """
    kept, notes = [], []
    special = added_tokens(content)
    for name in SENTENCEPIECE:
        if not (snapshot.folder / name).is_file():
            continue
        # The library takes special tokens in a text for plain text.
        texts = [text for text in cuts.ids if not any(token in text for token in special)]
        try:
            other = cut_by_file(snapshot.folder / name, texts)
        except NotLoaded:
            notes.append(f"{name} is left out: it is not a SentencePiece model, and {FILE} is the tokenizer.")
            continue
        difference = first_difference(other.ids, cuts.ids)
        have, has = len(other.pieces), len(cuts.pieces)
        # Converters that read the model take the tokens behind its last one from the added tokens alone.
        lacks = [text for text, number in cuts.pieces.items() if number >= have and text not in special]
        if difference is None and lacks:
            notes.append(f"{name} is left out: it lacks {reason(repr(lacks[0]))} of {FILE} (tokens: {len(lacks)}).")
            continue
        if difference is None:
            kept.append(name)
            continue
        measured = (
            f"it has {have} tokens and {FILE} has {has}, and tokenizes {difference} differently; "
            f"{FILE} is the tokenizer."
        )
        if difference.few and have >= has:
            kept.append(name)
            notes.append(f"{name} is kept: {measured}")
        elif have < has or other.pieces == cuts.pieces:
            notes.append(f"{name} is left out: {measured}")
        else:
            raise Refused(
                f"{name} and {FILE} have the same number of tokens or more, and tokenize {difference} differently; "
                "ask the publisher which of them is right, and to remove the other."
            )
    return kept, tuple(notes)


def _settle_class(
    snapshot: Snapshot,
    view: Path,
    config: Mapping[str, Any],
    truth: Cuts,
    file: str,
    known: Collection[str],
    ids: Mapping[str, int] = MappingProxyType({}),
) -> tuple[Any, str | None, tuple[str, ...]]:
    """Return transformers' tokenizer that cuts as the truth does, why the source's class was replaced, and notes.

    Where the truth is a SentencePiece model, which transformers never loads as it is, few texts may differ.
    ids: those of the file's added tokens. Some classes know only those that tokenizer_config.json names, too.
    Raises Unsupported where no class loads the tokenizer.
    """
    loaded = _load(view)
    named = config.get("tokenizer_class")
    difference = None if loaded is None else _difference(loaded, truth, known)
    if loaded is not None and difference is None and first_other_id(loaded, ids) is None:
        return loaded, None, ()
    plain = {key: value for key, value in config.items() if key not in ("auto_map", "add_prefix_space")}
    write(snapshot, view, CONFIG, {**plain, "tokenizer_class": PLAIN_CLASS})
    replaced = _load(view)
    still = None if replaced is None else _difference(replaced, truth, known)
    what = f"{CONFIG} names the class {named}" if named else f"{CONFIG} names no class"
    if loaded is None:
        why = "which does not load"
    elif difference:
        why = f"with which transformers tokenizes {difference} differently from {file}"
    else:
        why = f"which gives added tokens other ids than {file}"
    reported = f"{what}, {why}; the release names {PLAIN_CLASS}"
    if replaced is None or still is not None:
        fewest = difference.count if difference and _is_near(loaded, difference, truth, file) else None
        if still and _is_near(replaced, still, truth, file) and (fewest is None or still.count < fewest):
            return replaced, f"{reported}.", (_near(still, file),)
        write(snapshot, view, CONFIG, config)
        if loaded is None:
            raise _not_loaded(snapshot, view, file)
        if difference and fewest is not None:
            return loaded, None, (_near(difference, file),)
        raise Refused(
            f"transformers tokenizes {still or difference} differently from {file}, whatever class loads it; "
            f"ask the publisher to fix {file} or {CONFIG}."
        )
    return replaced, f"{reported}, which takes {file} as it is.", ()


def _not_loaded(snapshot: Snapshot, view: Path, file: str) -> Unsupported:
    """Return the error for a tokenizer that no class loads; it quotes transformers on the class that the source names.

    tokenizer.json and a SentencePiece model load by their own libraries, so the fault is in what lies beside them.
    """
    named = CONFIG if (snapshot.folder / CONFIG).is_file() else file
    _, why = _try(view)
    return Unsupported(f"{named}: {why.rstrip('.')}, whatever class it names; ask the publisher to fix it.")


def _is_near(loaded: Any, difference: Difference, truth: Cuts, file: str) -> bool:
    """Whether a tokenizer is another form of a SentencePiece model: few texts differ, and each piece has its id."""
    same = truth.pieces.items() <= loaded.get_vocab().items()
    return file != FILE and difference.few and same and _around(loaded) == (truth.opening, truth.closing)


def _near(difference: Difference, file: str) -> str:
    return f"transformers tokenizes {difference} differently from the library of {file}."


def _renumbers(loaded: Any, truth: Cuts) -> bool:
    """Whether transformers' class gives nearly all pieces of a SentencePiece model other ids, as for fairseq's models.

    Those were trained with the ids of the class, not with the places of the pieces in the file.
    """
    vocabulary = loaded.get_vocab()
    common = [piece for piece in truth.pieces if piece in vocabulary]
    moved = sum(vocabulary[piece] != truth.pieces[piece] for piece in common)
    return bool(moved >= (1 - FEW) * len(truth.pieces))


def _refuse_other_ids(loaded: Any, truth: Cuts, file: str) -> None:
    """Raise Refused where a class has not read the pieces, and has ids of its own for special ones.

    Such a class gives the pieces ids of its own, too, and nothing says which.
    """
    backend = getattr(loaded, "backend_tokenizer", None)
    vocabulary = backend.get_vocab(with_added_tokens=False) if backend is not None else loaded.get_vocab()
    if len(truth.pieces.keys() & vocabulary.keys()) > FEW * len(truth.pieces):
        return
    for name in NAMED:
        token = str(getattr(loaded, name, None))
        ids = (vocabulary.get(token), truth.pieces.get(token))
        if None not in ids and ids[0] != ids[1]:
            raise Refused(
                f"{type(loaded).__name__} gives {reason(repr(token))} the id {ids[0]} and {file} gives it {ids[1]}, "
                f"and transformers does not read the ids of the other tokens; ask the publisher to add {FILE}."
            )


def _difference(loaded: Any, truth: Cuts, known: Collection[str]) -> Difference | None:
    """Return the texts that a tokenizer cuts in another way than the truth.

    known: the added tokens that the truth parses. transformers adds others, which tokenizer_config.json names.
    """
    others = [token.content for token in loaded.added_tokens_decoder.values() if token.content not in known]
    texts = [text for text in truth.ids if not any(token in text for token in others)]
    own = {text: _encode(loaded, text) for text in texts}
    if found := first_difference(own, truth.ids):
        return found
    return None if _around(loaded) == (truth.opening, truth.closing) else Difference("a", 1, len(texts))


def _encode(loaded: Any, text: str) -> Ids:
    """Return the ids of a text; -1 if the tokenizer fails on it, as one does that lacks its unknown token."""
    try:
        return tuple(loaded.encode(text, add_special_tokens=False))
    except Exception:
        return (-1,)


def _texts(flags: Mapping[str, Hashable]) -> list[str]:
    special = special_token_texts(choose_tokens(flags))
    return list(dict.fromkeys([*WRITTEN.values(), *special.values(), *generated_texts().values()]))


def added_tokens(content: Mapping[str, Any]) -> list[str]:
    """Return the texts of the added tokens of a parsed tokenizer.json."""
    return list(_added_flags(content))


def _added_flags(content: Mapping[str, Any]) -> dict[str, Hashable]:
    tokens = content.get("added_tokens")
    listed = [token for token in tokens if isinstance(token, dict)] if isinstance(tokens, list) else []
    return {
        token["content"]: tuple(token.get(flag) is True for flag in TOKEN_FLAGS)
        for token in listed
        if isinstance(token.get("content"), str)
    }


def _load(view: Path) -> Any:
    return _try(view)[0]


def _try(view: Path) -> tuple[Any, str]:
    """Return transformers' tokenizer of the view, or None and why there is none."""
    # The facts of a configuration are read without transformers.
    from tasks.checkpoint.load import load_tokenizer

    try:
        loaded = load_tokenizer(view)
        _around(loaded)
    except Unsupported as error:
        return None, str(error)
    except Exception as error:  # the library raises the bare class for a token that its vocabulary lacks
        return None, f"transformers cannot use the tokenizer ({reason(str(error))})"
    return loaded, ""


def _around(loaded: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return around(loaded.encode("a", add_special_tokens=False), loaded.encode("a", add_special_tokens=True))


def _with_named(config: Mapping[str, Any], loaded: Any, known: Container[str]) -> dict[str, Any]:
    """Return the configuration with the special tokens that transformers' class has, some of them by default.

    known: the tokens of the file. A default that is none of them would be added to them, so it is named as missing.
    """
    settled = dict(config)
    for name in NAMED:
        token = getattr(loaded, name, None)
        if token is not None and token_text(config.get(name)) != str(token):
            settled[name] = str(token) if config.get(name) is not None or str(token) in known else None
    return settled


def _opened(content: Mapping[str, Any], loaded: Any, opening: Sequence[int], closing: Sequence[int]) -> dict[str, Any]:
    """Return a parsed tokenizer.json that puts `opening` and `closing` around a text."""
    before, after = loaded.convert_ids_to_tokens(list(opening)), loaded.convert_ids_to_tokens(list(closing))
    place = [*_tokens(before, 0), {"Sequence": {"id": "A", "type_id": 0}}, *_tokens(after, 0)]
    pair = [*place, *_tokens(before, 1), {"Sequence": {"id": "B", "type_id": 1}}, *_tokens(after, 1)]
    named = dict(zip([*before, *after], [*opening, *closing], strict=True))
    template = {
        "type": "TemplateProcessing",
        "single": place,
        "pair": pair,
        "special_tokens": {text: {"id": text, "ids": [number], "tokens": [text]} for text, number in named.items()},
    }
    return {**content, "post_processor": template}


def _tokens(texts: Sequence[str], kind: int) -> list[dict[str, Any]]:
    return [{"SpecialToken": {"id": text, "type_id": kind}} for text in texts]

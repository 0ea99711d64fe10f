"""Writes the numbers of config.json in the types that transformers 5 takes.

It takes no 1 where a field holds a fraction, no 4096.0 where it holds a whole number, and no null for a switch.
transformers 4, which wrote such files, took the numbers as the same, and null as false. Null is written as false only
for a switch that is off by default; for others, the publisher may have meant either. The original length of rotary
positions is written as a whole number, too: transformers takes 4096.0, and converters do not.
"""

import dataclasses
import json
from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from tasks.checkpoint.model_config import CONFIG, LARGEST
from tasks.checkpoint.rotary import FIELDS, ORIGINAL
from tasks.checkpoint.special_ids import parts


def with_typed_fields(content: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return config.json with such fields in their types, at its top and in its `text_config`, and a note on each."""
    settled, notes = list[dict[str, Any]](), list[str]()
    for where, part in parts(CONFIG, content):
        changed = _changed(part)
        settled.append({**part, **changed})
        for field, value in changed.items():
            has, says = json.dumps(part[field]), json.dumps(value)
            why = "with a whole number of tokens" if field in FIELDS else "as transformers takes it"
            notes.append(f"{where}{field} is {has}; the release says {says}, {why}.")
    top, *inner = settled
    return {**top, "text_config": inner[0]} if inner else top, tuple(notes)


def _changed(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that transformers takes in another type, with their values in that type."""
    fields = _fields(str(part.get("model_type")))
    typed = {name: _typed(value, fields[name]) for name, value in part.items() if name in fields}
    changed = {name: value for name, value in typed.items() if type(value) is not type(part[name])}
    rotary = {name: _typed_rotary(part[name]) for name in FIELDS if name in part}
    return changed | {name: value for name, value in rotary.items() if repr(value) != repr(part[name])}


def _typed_rotary(value: Any) -> Any:
    """Return parameters of rotary positions with a whole number for the original length, at every depth."""
    if not isinstance(value, Mapping):
        return value
    settled = {name: _typed_rotary(inner) for name, inner in value.items()}
    length = settled.get(ORIGINAL)
    return {**settled, ORIGINAL: int(length)} if length is not None and _is_whole(length) else settled


def _typed(value: Any, field: dataclasses.Field[Any]) -> Any:
    """Return a value in the type of a field, if it is the same value there."""
    kinds = _kinds(field.type)
    if value is None and kinds == {bool} and field.default is False:
        return False
    if _is_whole(value):
        if kinds & {int, float} == {float}:
            return float(value)
        if kinds & {int, float} == {int}:
            return int(value)
    return value


def _is_whole(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= LARGEST and float(value).is_integer()


def _fields(model_type: str) -> Mapping[str, dataclasses.Field[Any]]:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING:
        return {}
    return {field.name: field for field in dataclasses.fields(CONFIG_MAPPING[model_type])}


def _kinds(annotation: Any) -> set[Any]:
    """Return the types of an annotation: several for a union."""
    return set(get_args(annotation)) if get_origin(annotation) in (Union, UnionType) else {annotation}

"""The task `text`. It stores a recipe's text as an artifact, so that every number names the text it was measured on."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.errors import Corrupt, InvalidRecipe
from tasks.evaluation.text_definition import TextParameters
from tasks.settings import REPOSITORY

LARGEST_BYTES = 100_000_000
"""A hundred times what any measure needs; the text is held in memory while it is looked at."""

FIELDS = {"id", "kind", "text", "prompt", "answer", "choices"}


def keep_text(parameters: TextParameters, context: TaskContext) -> Mapping[str, Any]:
    """Check every record and copy the file to `text.jsonl`.

    Raises InvalidRecipe naming the line that is wrong, or where there is no text, and Corrupt where the file is not the
    one that the run was planned with.
    """
    path = (REPOSITORY / parameters.path).resolve()
    if not path.is_relative_to(REPOSITORY):
        raise InvalidRecipe(f"The text {parameters.path!r} lies outside the repository; put it beside the recipe.")
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError as error:
        raise InvalidRecipe(f"There is no text {parameters.path!r} any more; correct the recipe.") from error
    if len(data) > LARGEST_BYTES:
        raise InvalidRecipe(f"The text {parameters.path!r} has more than {LARGEST_BYTES} bytes; take a part of it.")
    if hashlib.sha256(data).hexdigest() != parameters.sha256:
        raise Corrupt(f"The text {parameters.path} changed after this run was planned; trigger a new run.")
    records = list(_records(data, parameters.path))
    if not any(record["text"].strip() for record in records):
        raise InvalidRecipe(f"The text {parameters.path} is empty, so nothing can be measured on it; add a text.")
    (context.output / "text.jsonl").write_bytes(data)
    return {"records": len(records), "questions": sum("answer" in record for record in records), "bytes": len(data)}


def _records(data: bytes, name: str) -> Iterator[dict[str, str]]:
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidRecipe(f"{name}, line {number}, is not JSON ({error}); correct the line.") from error
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise InvalidRecipe(f"{name}, line {number}: a record is an object with a 'text'; correct the line.")
        if unknown := set(record) - FIELDS:
            raise InvalidRecipe(f"{name}, line {number}: unknown field {sorted(unknown)[0]!r}; remove it.")
        for field in ("text", "prompt", "answer"):
            if not _is_text(record.get(field, "")):
                raise InvalidRecipe(f"{name}, line {number}: {field!r} is not a text in UTF-8; correct the line.")
        if ("prompt" in record) != ("answer" in record):
            raise InvalidRecipe(f"{name}, line {number}: has only one of 'prompt' and 'answer'; give both or neither.")
        yield record


def _is_text(value: Any) -> bool:
    """JSON's escapes can spell half of a character, which no tokenizer takes."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True

"""Names of the Hub, and the suggestion for a name that is unknown."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.names import Commit, Repository, did_you_mean


def accepts(kind: Any, text: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", ["a/b", "Qwen/Qwen2.5-0.5B", "acme/" + "n" * 96])
def test_a_repository_is_owner_and_name(name: str) -> None:
    assert accepts(Repository, name)


@pytest.mark.parametrize("name", ["a", "a/b/c", "/b", "a/", "../b", "a/.b", "a/b\n", "a b/c", "acme/" + "n" * 97])
def test_what_could_lead_elsewhere_is_no_repository(name: str) -> None:
    assert not accepts(Repository, name)


def test_a_commit_is_forty_digits_in_lower_case() -> None:
    assert accepts(Commit, "0123456789" * 4)
    assert not any(accepts(Commit, text) for text in ("main", "a" * 39, "a" * 41, "A" * 40, "a" * 40 + "\n"))


def test_the_nearest_name_is_suggested_and_otherwise_all_are_listed() -> None:
    known = ["gguf-q8_0", "gguf-q4_k_m"]
    assert did_you_mean("gguf-q4km", known) == " (did you mean 'gguf-q4_k_m'?)"
    assert did_you_mean("entirely else", known) == " (known: gguf-q8_0, gguf-q4_k_m)"

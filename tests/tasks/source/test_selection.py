"""Files that are too large for what they are named are refused by the listing alone, before a byte of them comes."""

import json
from dataclasses import replace

import pytest

from tasks.errors import Corrupt, Refused
from tasks.source.hub import HubFile, HubRepository
from tasks.source.selection import check_names, find_companions, find_shards, find_weights

SETTINGS, VOCABULARY = 10 * 1024**2, 100 * 1024**2


def repository(**sizes: int) -> HubRepository:
    """A repository with a small configuration and files of these sizes; `__` stands for the dot."""
    listed = {"config.json": 100, "model.safetensors.index.json": 100}
    listed |= {name.replace("__", "."): size for name, size in sizes.items()}
    files = tuple(HubFile(path, size, "0" * 40, None) for path, size in listed.items())
    return HubRepository("a/b", "1" * 40, ("mit",), False, False, None, (), files)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("config__json", SETTINGS),
        ("generation_config__json", SETTINGS),
        ("chat_template__jinja", SETTINGS),
        ("README__md", SETTINGS),
        ("LICENSE", SETTINGS),
        ("tokenizer__json", VOCABULARY),
        ("tokenizer_config__json", VOCABULARY),
        ("added_tokens__json", VOCABULARY),
        ("special_tokens_map__json", VOCABULARY),
        ("tokenizer__model", VOCABULARY),
        ("vocab__json", VOCABULARY),
        ("merges__txt", VOCABULARY),
        ("qwen__tiktoken", VOCABULARY),
    ],
)
def test_what_goes_with_the_weights(name: str, most: int) -> None:
    find_companions(repository(**{name: most}))
    with pytest.raises(Refused, match=f"{name.replace('__', '.')} of a/b has {most + 1} bytes"):
        find_companions(repository(**{name: most + 1}))


def test_an_index() -> None:
    find_weights(repository(model__safetensors__index__json=VOCABULARY))
    with pytest.raises(Refused, match=r"model.safetensors.index.json of a/b has \d+ bytes"):
        find_weights(repository(model__safetensors__index__json=VOCABULARY + 1))


def test_weights_may_have_any_size() -> None:
    assert find_weights(repository(model__safetensors=10**12)).file.size == 10**12


@pytest.mark.parametrize("name", ["weights.pt", "README.md", "code.py"])
def test_a_shard_that_no_key_would_cover_is_refused(name: str) -> None:
    files = repository(**{"model-00001-of-00002.safetensors": 1, name: 1})
    index = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": name}}).encode()
    listed = files.file("model.safetensors.index.json")
    assert listed is not None
    with pytest.raises(Corrupt, match=rf"names '{name}', and a file of weights ends in \.safetensors or \.bin"):
        find_shards(files, listed, index)


@pytest.mark.parametrize("name", ["data/terms.txt", "licenses/all.md"])
def test_a_large_text_below_a_folder_is_no_notice(name: str) -> None:
    assert name in {file.path for file in find_companions(repository(**{name: SETTINGS}))}
    assert name not in {file.path for file in find_companions(repository(**{name: SETTINGS + 1}))}


def test_of_two_notices_that_some_disks_take_for_one_name_the_first_is_taken() -> None:
    files = repository(license=1, LICENSE=2)
    found = find_companions(files)
    assert [file.path for file in found] == ["config.json", "LICENSE"]
    check_names(files, found)


def test_the_notice_that_the_card_names_is_the_one_taken() -> None:
    files = replace(repository(LICENSE=2, license=1), licence_file="license")
    assert [file.path for file in find_companions(files)] == ["config.json", "license"]

"""Files that are too large for what they are named are refused by the listing alone, before a byte of them comes."""

import json
from dataclasses import replace

import pytest

from tasks.errors import Corrupt, NotFound, Refused, Unsupported
from tasks.source.hub import HubFile, HubRepository
from tasks.source.selection import (
    check_names,
    estimate_weight_bytes,
    find_companions,
    find_left_out,
    find_shards,
    find_weights,
    linked_licence,
)

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
        ("LICENSE", VOCABULARY),
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


def test_two_notices_of_one_name_and_different_bytes_are_refused() -> None:
    first = repository(license=1, LICENSE=2)
    files = replace(first, files=(*first.files[:-1], replace(first.files[-1], blob_id="1" * 40)))
    found = find_companions(files)
    with pytest.raises(Corrupt, match="license and LICENSE|LICENSE and license"):
        check_names(files, found)


def test_the_notice_that_the_card_names_is_the_one_taken() -> None:
    files = replace(repository(LICENSE=2, license=1), licence_file="license")
    assert [file.path for file in find_companions(files)] == ["config.json", "license"]


@pytest.mark.parametrize(
    ("named", "linked"), [("rules.md", "rules.md"), ("LICENSE", None), ("code.py", None), (None, None)]
)
def test_a_text_that_only_the_card_names_is_a_licence(named: str | None, linked: str | None) -> None:
    files = replace(repository(rules__md=1, LICENSE=1, code__py=1), licence_file=named)
    assert linked_licence(files) == linked
    found = {file.path for file in find_companions(files)}
    assert found == {"config.json", "LICENSE", *([linked] if linked else [])}


def test_code_is_fetched_only_where_it_is_asked_for() -> None:
    files = repository(code__py=1)
    assert [file.path for file in find_companions(files)] == ["config.json"]
    assert [file.path for file in find_companions(files, with_code=True)] == ["config.json", "code.py"]


INDEX = "model.safetensors.index.json"
SHARDS = {"model-00001-of-00002.safetensors": 3, "model-00002-of-00002.safetensors": 4}


@pytest.mark.parametrize(
    ("weight_map", "fault"),
    [
        (None, "has no 'weight_map'"),
        ({}, "names no shard"),
        ({"a": "a\\b.safetensors"}, "which could lead out of its folder"),
        ({"a": "../model.safetensors"}, "which could lead out of its folder"),
        ({"a": "other/model.safetensors"}, "names other/model.safetensors, which is not in its own folder"),
        ({"a": "model-00003-of-00002.safetensors"}, "names model-00003-of-00002.safetensors, which is missing"),
    ],
)
def test_an_index_that_names_no_file_beside_it_is_refused(weight_map: dict[str, str] | None, fault: str) -> None:
    files = repository(**SHARDS, **{"other/model.safetensors": 1})
    index = files.file(INDEX)
    assert index is not None
    with pytest.raises(Corrupt, match=f"^{INDEX} of a/b .*{fault}"):
        find_shards(files, index, json.dumps({"weight_map": weight_map}).encode())


def test_an_index_gives_its_shards_and_their_size() -> None:
    files = repository(**SHARDS, other__safetensors=9)
    index = files.file(INDEX)
    assert index is not None
    found = find_shards(files, index, json.dumps({"weight_map": dict(zip("ab", SHARDS, strict=True))}).encode())
    assert [file.path for file in found] == list(SHARDS)
    assert estimate_weight_bytes(files, find_weights(files)) == 7
    whole = repository(model__safetensors=5, **SHARDS)
    assert estimate_weight_bytes(whole, find_weights(whole)) == 5


def bare(*names: str) -> HubRepository:
    return replace(repository(), files=tuple(HubFile(name, 1, "0" * 40, None) for name in names))


def test_a_repository_without_weights_is_refused_with_what_it_has() -> None:
    with pytest.raises(Unsupported, match="a/b has .*GGUF"):
        find_weights(bare("config.json", "x.gguf"))
    with pytest.raises(NotFound, match=f"a/b has no weights at {'1' * 40}; name one that has model.safetensors"):
        find_weights(bare("config.json"))
    with pytest.raises(NotFound, match=f"a/b has no config.json at {'1' * 40}"):
        find_companions(bare("model.safetensors"))


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["a\u200b.json"], r"a\\u200b\.json', a name with invisible characters"),
        (["Config.json", "config.json"], "has Config.json and config.json, which some disks take for one name"),
        (["\u00e9.json", "e\u0301.json"], "which some disks take for one name"),
    ],
)
def test_names_that_some_disks_cannot_hold_are_refused(names: list[str], fault: str) -> None:
    files = bare(*names)
    with pytest.raises(Corrupt, match=fault):
        check_names(files, files.files)


@pytest.mark.parametrize(
    ("names", "sentences"),
    [
        (["model.safetensors"], ()),
        (
            ["model.safetensors", "adapter_config.json", "adapter_model.safetensors"],
            (
                "a/b also has an adapter (adapter_config.json), which the release leaves out, while transformers loads "
                "it; if model.safetensors does not contain it, merge it and release the result.",
            ),
        ),
        (
            ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"],
            (
                "a/b has several sets of weights; the release takes model.safetensors and leaves out "
                "model.safetensors.index.json, pytorch_model.bin.",
            ),
        ),
        (["model.safetensors.index.json", "model-00001-of-00001.safetensors", "onnx/model.safetensors"], ()),
    ],
)
def test_what_is_left_out_beside_the_weights_is_told(names: list[str], sentences: tuple[str, ...]) -> None:
    bare = repository()
    listed = replace(bare, files=tuple(HubFile(name, 1, "0" * 40, None) for name in names))
    assert find_left_out(listed, find_weights(listed)) == sentences

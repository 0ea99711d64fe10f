"""What is fetched and read is in the key of everything that reads it."""

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tasks.checkpoint.companions import COMPANIONS, MODEL, NOTICES, WEIGHTS, copy_companions, is_companion
from tasks.contract import TaskDefinition
from tasks.definitions import FIXED, find_definition
from tasks.formats.registry import parse_target, target_names
from tasks.keys import read_digest
from tasks.manifest import FileEntry, Manifest
from tasks.source.selection import LAYOUTS, TAKEN


def conversions() -> dict[str, TaskDefinition]:
    targets = [parse_target(name) for name in target_names()]
    return {
        target.format: find_definition("convert", {"target": target.model_dump(mode="json")})
        for target in targets
        if "snapshot" in target.requires
    }


CONVERSIONS = conversions()
WEIGHT_FILES = [name for file, _ in LAYOUTS for name in (file, f"{file}.index.json")]
SHARDS = ["model-00001-of-00002.safetensors", "pytorch_model-00001-of-00002.bin"]
LICENCES = [
    "LICENSE",
    "docs/licence.md",
    "Copying",
    "COPYRIGHT",
    "Notice",
    "USE_POLICY.md",
    "Terms.txt",
    "agreement.pdf",
]
OTHERS = [pattern.replace("*", "x") for pattern in TAKEN if pattern not in NOTICES]
EXAMPLES = [*WEIGHT_FILES, *SHARDS, *LICENCES, *OTHERS]
"""A path for every pattern of what a fetch takes."""


def reads(definition: TaskDefinition, path: str) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in definition.reads["snapshot"])


@pytest.mark.parametrize("path", EXAMPLES)
def test_what_is_fetched_is_covered_by_the_reference_and_every_conversion(path: str) -> None:
    never_read = path == "README.md"
    assert reads(FIXED["reference"], path) == (not never_read and not is_companion(path, NOTICES))
    assert {name: reads(definition, path) for name, definition in CONVERSIONS.items()} == dict.fromkeys(
        CONVERSIONS, not never_read
    )


@pytest.mark.parametrize("path", ["qwen.tiktoken", "vocab.json", "additional_chat_templates/tool_use.jinja"])
def test_another_tokenizer_or_template_is_another_key(path: str) -> None:
    files = tuple(FileEntry(path=name, size=1, sha256="1" * 64) for name in ("config.json", "model.safetensors"))
    before = Manifest(key="a" * 64, attempt="one", kind="fetch", created=datetime.now(UTC), files=files)
    more = (*files, FileEntry(path=path, size=1, sha256="2" * 64))
    after = before.model_copy(update={"files": more})
    for definition in (FIXED["reference"], *CONVERSIONS.values()):
        patterns = definition.reads["snapshot"]
        assert read_digest(before, patterns) != read_digest(after, patterns), definition.function


def test_the_groups_are_the_whole() -> None:
    assert set(MODEL) | set(NOTICES) == set(WEIGHTS) | set(COMPANIONS)
    assert set(TAKEN) == {*COMPANIONS, "README.md"}


@pytest.mark.parametrize(
    ("path", "companion"),
    [
        ("LICENSE", True),
        ("LICENSE-APACHE.txt", True),
        ("third_party/LICENSE", True),
        ("LICENSES/MIT.txt", True),
        ("MODEL_LICENSE", True),
        ("license.md", True),
        ("Notice", True),
        ("COPYRIGHT", True),
        ("Gemma_Terms.txt", True),
        ("licence/legal/model.txt", True),
        ("license_check.py", False),
        ("onnx/terms.json", False),
        ("notice.safetensors", False),
        ("chat_template.jinja", True),
        ("additional_chat_templates/rag.jinja", True),
        ("additional_chat_templates/more/rag.jinja", False),
        ("onnx/config.json", False),
        ("README.md", False),
    ],
)
def test_licences_are_known_anywhere_and_other_files_by_their_place(path: str, companion: bool) -> None:
    assert is_companion(path) is companion


def test_only_the_files_asked_for_are_copied(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("LICENSE", "config.json", "additional_chat_templates/rag.jinja", "README.md"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (tmp_path / "all").mkdir()
    assert copy_companions(source, tmp_path / "all") == [
        "LICENSE",
        "additional_chat_templates/rag.jinja",
        "config.json",
    ]
    assert copy_companions(source, tmp_path / "some", NOTICES) == ["LICENSE"]

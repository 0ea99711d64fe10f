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
    "EULA.txt",
    "LEGAL.md",
    "PATENTS",
    "DISCLAIMER.md",
]
OTHERS = [pattern.replace("*", "x") for pattern in TAKEN if pattern not in NOTICES]
EXAMPLES = [*WEIGHT_FILES, *SHARDS, *LICENCES, *OTHERS]
"""A path for every pattern of what a fetch takes."""


def reads(definition: TaskDefinition, path: str) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in definition.reads["snapshot"])


@pytest.mark.parametrize("path", EXAMPLES)
def test_weights_and_notices_are_in_the_key_of_every_conversion(path: str) -> None:
    weights, notice = path in (*WEIGHT_FILES, *SHARDS), is_companion(path, NOTICES)
    assert reads(FIXED["reference"], path) == weights
    assert {name: reads(definition, path) for name, definition in CONVERSIONS.items()} == dict.fromkeys(
        CONVERSIONS, weights or notice
    )


@pytest.mark.parametrize("path", ["tokenizer.json", "config.json", "additional_chat_templates/tool_use.jinja"])
def test_another_file_of_the_view_is_another_key(path: str) -> None:
    """All else that is fetched reaches reference and conversions by the view, which `analyze` makes of all files."""
    assert not FIXED["analyze"].reads
    files = (FileEntry(path=f"view/{path}", size=1, sha256="1" * 64),)
    before = Manifest(key="a" * 64, attempt="one", kind="analyze", created=datetime.now(UTC), files=files)
    after = before.model_copy(update={"files": (FileEntry(path=f"view/{path}", size=1, sha256="2" * 64),)})
    for definition in (FIXED["reference"], *CONVERSIONS.values()):
        patterns = definition.reads["analysis"]
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
        ("linked-licence/legal/model.txt", True),
        ("licence", True),
        ("LicenseAgreement.pdf", True),
        ("ThirdPartyNotices.txt", True),
        ("THIRDPARTYNOTICES", True),
        ("LICENSE-2.0", True),
        ("LICENSE.MIT", True),
        ("COPYING.LESSER", True),
        ("Use Policy.html", True),
        ("Use Policy.htm", True),
        ("LICENSE.rtf", True),
        ("LICENSE.docx", True),
        ("License.odt", True),
        ("Terms.doc", True),
        ("LICENSE.GPL", True),
        ("COPYING.LIB", True),
        ("LICENSE.llama2", True),
        ("legal/MODEL_LICENSE.gemma", True),
        ("Llama-3.1-LICENSE", True),
        ("LLAMA_3.1_LICENSE", True),
        ("Llama3.1 LICENSE", True),
        ("Llama 3.1 Community License Agreement", True),
        ("Apache-2.0-LICENSE", True),
        ("LICENSE-llama3.2-community", True),
        ("LICENSE.Llama-3.1-Community", True),
        ("NOTICE.v1.0-beta", True),
        ("Apache.LICENSE", True),
        ("UNLICENSE", True),
        ("Model_EULA.pdf", True),
        ("docs/Legal.txt", True),
        ("PATENTS.txt", True),
        ("Medical-Disclaimer.md", True),
        ("legal-questions.md", False),
        ("data/legal/case.txt", False),
        ("patent_claims.txt", False),
        ("EULA.json", False),
        ("ThirdPartyLicenses", True),
        ("THIRD-PARTY-LICENSES.v2", True),
        ("linked-licence/rights.gemma", True),
        ("linked-licence/model.safetensors", False),
        ("license.py", False),
        ("LICENSES.zip", False),
        ("LICENSES.7z", False),
        ("notices/terms.3gp", False),
        ("model-1.5-weights", False),
        ("LICENSE.json", False),
        ("licenses/list.lst", False),
        ("silicense.GPL", False),
        ("data/midterms.txt", False),
        ("docs/noticed.md", False),
        ("data/user-agreements.jsonl", False),
        ("data/terms.parquet", False),
        ("licenses/x-q4.gguf", False),
        ("onnx/agreement.onnx_data", False),
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
    assert (tmp_path / "all/additional_chat_templates/rag.jinja").read_text() == "additional_chat_templates/rag.jinja"
    assert copy_companions(source, tmp_path / "some", NOTICES) == ["LICENSE"]
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["LICENSE"]

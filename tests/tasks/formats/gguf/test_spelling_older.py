"""A family's configuration as published and as transformers 5 saves it say the same to every reader."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoConfig

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.snapshot import Snapshot
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.formats.gguf.spelling import spell
from tasks.settings import REPOSITORY
from tasks.source.analyze import analyze_snapshot
from tests.fixtures.older_spelling import older
from tests.fixtures.tiny_architectures import ARCHITECTURES, tiny
from tests.fixtures.tiny_checkpoint import write_checkpoint

pytestmark = pytest.mark.runtime("torch")

PROGRAM = Path(__file__).with_name("convert_folders.py")
SPELLINGS = ("saved", "published")
CONVERTED = (
    "bloom",
    "cohere2",
    "falcon",
    "gemma3_text",
    "gpt2",
    "gpt_bigcode",
    "gpt_neox",
    "llama",
    "phi",
    "qwen3_next",
)
"""Families with names of their own that changed, and two with those that all have. To convert one takes a second."""


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders NAME/saved and NAME/published, with the same weights."""
    folder = tmp_path_factory.mktemp("spelled")
    for name in ARCHITECTURES:
        write_checkpoint(folder / name / "saved", tiny(name), dtype="bfloat16", opens=True)
        shutil.copytree(folder / name / "saved", folder / name / "published")
        path = folder / name / "published" / "config.json"
        path.write_text(json.dumps(older(json.loads(path.read_text()))))
    return folder


@pytest.fixture(scope="module")
def converted(snapshots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folders with `made.gguf`."""
    folder = tmp_path_factory.mktemp("converted")
    for name in CONVERTED:
        for spelling in SPELLINGS:
            shutil.copytree(snapshots / name / spelling, folder / name / spelling / "tiny")
            spell(folder / name / spelling / "tiny")
    tree = llama_cpp().tree
    subprocess.run(
        [sys.executable, PROGRAM, *(folder / name / spelling / "tiny" for name in CONVERTED for spelling in SPELLINGS)],
        env={**os.environ, "PYTHONPATH": f"{tree / 'gguf-py'}:{tree}:{REPOSITORY}", "PYTHONSAFEPATH": "1"},
        stdout=sys.stderr,
        check=False,  # A file that is missing is reported by its own test.
    )
    return folder


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_transformers_reads_the_same_of_both(snapshots: Path, name: str) -> None:
    saved, published = (AutoConfig.from_pretrained(snapshots / name / spelling).to_dict() for spelling in SPELLINGS)
    # Names that transformers does not know are kept as they are, and nothing reads them.
    del saved["_name_or_path"]
    assert {key: published[key] for key in saved} == saved


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_analysis_says_the_same_of_both(snapshots: Path, name: str) -> None:
    found: list[Analysis] = [analyze_snapshot(Snapshot(snapshots / name / spelling)) for spelling in SPELLINGS]
    assert found[0] == found[1]


@pytest.mark.parametrize("name", CONVERTED)
def test_both_become_the_same_gguf(converted: Path, name: str) -> None:
    files = [(converted / name / spelling / "tiny" / "made.gguf").read_bytes() for spelling in SPELLINGS]
    assert hashlib.sha256(files[0]).digest() == hashlib.sha256(files[1]).digest()

"""Small conversions of a tiny Llama, for the tests of the tasks that make GGUF files; they need the runtime torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.contract import TaskContext
from tasks.formats.base import ConvertParameters
from tasks.formats.gguf.convert import convert
from tasks.formats.registry import parse_target
from tests.fixtures.context import FolderContext, make_context
from tests.fixtures.source import source_inputs
from tests.fixtures.tiny_checkpoint import tiny_llama, write_checkpoint

Made = tuple[Path, dict[str, Any]]
"""An artifact's folder and facts."""

SOURCE = {"snapshot": {"repository": "acme/Tiny-Llama"}}


def make(folder: Path, hidden: int = 256, intermediate: int = 512, **options: Any) -> Path:
    """Write a bf16 Llama; rows of 256 weights are what k-quants take."""
    config = tiny_llama(
        hidden_size=hidden, intermediate_size=intermediate, max_position_embeddings=256, initializer_range=0.05
    )
    return write_checkpoint(folder, config, dtype="bfloat16", opens=True, **options)


def run(name: str, context: TaskContext, **options: Any) -> dict[str, Any]:
    """Make a target as its task does; return the facts."""
    return dict(convert(ConvertParameters(target=parse_target(name, options)), context))


def context_of(root: Path, facts: Mapping[str, Mapping[str, Any]] | None = None, **folders: Path) -> FolderContext:
    """Return the context of a task that reads these folders and the analysis of `snapshot`, which is one of them."""
    return make_context(root, {**folders, **source_inputs(folders["snapshot"], root / "source")}, facts)

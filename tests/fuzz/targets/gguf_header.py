"""A GGUF file: its header, its facts, and, where it is an importance matrix, its counts."""

from pathlib import Path

from tasks.formats.gguf.header import read_header
from tasks.formats.gguf.imatrix import unreached
from tasks.formats.gguf.inspect import inspect
from tasks.model import digest_of
from tests.fuzz.target import Target


def parse(data: bytes, folder: Path) -> None:
    path = folder / "model.gguf"
    path.write_bytes(data)
    facts = inspect(folder)
    digest_of(facts)
    header = read_header(path)
    assert all(0 < tensor.start <= len(data) - tensor.bytes for tensor in header.tensors)
    unreached(header)


TARGET = Target(
    parse=parse,
    measured={
        "tasks/formats/gguf/header.py": [],
        "tasks/formats/gguf/inspect.py": [],
        "tasks/formats/gguf/imatrix.py": ["unreached"],
    },
    runs=20_000,
    floor=88,
    words=(
        "GGUF",
        "general.architecture",
        "general.alignment",
        "llama",
        ".counts",
        "tokenizer.ggml.tokens",
        "rope_freqs.weight",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.hallmark.end_token_ids",
    ),
    longest=1024,
)

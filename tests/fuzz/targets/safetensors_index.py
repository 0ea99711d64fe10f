"""A shard index beside two sound shards, as the snapshot reads it, and as fetch reads it before there are shards."""

import json
import struct
from pathlib import Path

from tasks.checkpoint.headers import INDEX_FILE, read_index, read_weight_map
from tasks.errors import HallmarkError
from tasks.source.hub import HubFile, HubRepository
from tasks.source.selection import find_shards
from tests.fuzz.target import Target

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
REPOSITORY = HubRepository(
    name="acme/tiny",
    commit="0" * 40,
    licences=("mit",),
    gated=False,
    private=False,
    last_modified=None,
    base_models=(),
    files=tuple(HubFile(name, 80, "0" * 40, None) for name in (*SHARDS, INDEX_FILE)),
)


def prepare(folder: Path) -> None:
    for number, name in enumerate(SHARDS):
        header = json.dumps({f"t{number}": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}).encode()
        (folder / name).write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")


def parse(data: bytes, folder: Path) -> None:
    (folder / INDEX_FILE).write_bytes(data)
    (folder / "model.safetensors").unlink(missing_ok=True)
    if data[:1] == b"1":
        # A checkpoint of one file has no index.
        (folder / INDEX_FILE).unlink()
        (folder / "model.safetensors").write_bytes(data[1:])
        assert set(read_index(folder).values()) <= {"model.safetensors"}
        return
    refused: HallmarkError | None = None
    try:
        shards = find_shards(REPOSITORY, REPOSITORY.files[-1], data)
        assert all(shard in REPOSITORY.files for shard in shards)
    except HallmarkError as error:
        refused = error
    for name in set(read_weight_map(folder, INDEX_FILE).values()):
        assert (folder / name).resolve().parent == folder
    assert set(read_index(folder).values()) == set(SHARDS)
    if refused:
        raise refused


TARGET = Target(
    parse=parse,
    prepare=prepare,
    measured={
        "tasks/checkpoint/headers.py": ["read_index", "read_weight_map", "_check_file_name", "_parse"],
        "tasks/source/selection.py": ["find_shards"],
    },
    runs=10_000,
    floor=90,
    json=True,
    words=('"weight_map"', '"t0"', '"t1"', *SHARDS),
)

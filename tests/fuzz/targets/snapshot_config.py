"""config.json of a snapshot: its fields, and all that analysis and scan conclude from it beside fixed weights."""

import json
import struct
from pathlib import Path

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.snapshot import Snapshot
from tasks.source.analyze import analyze_snapshot
from tasks.source.checks.code import check_code
from tasks.source.checks.shapes import check_shapes
from tasks.source.parameters import AllowedCode, ScanParameters
from tests.fuzz.target import Target

PARAMETERS = ScanParameters(repository="acme/tiny", commit="0" * 40)
ALLOWING = PARAMETERS.model_copy(update={"code": (AllowedCode(repository="acme/tiny", commit="0" * 40),)})
SHAPES = {
    "model.embed_tokens.weight": [4, 2],
    "model.layers.0.self_attn.k_proj.weight": [2, 2],
    "model.layers.0.self_attn.o_proj.weight": [2, 2],
    "lm_head.weight": [4, 2],
}


def prepare(folder: Path) -> None:
    (folder / "m.py").write_text("")
    header, end = {}, 0
    for name, (rows, columns) in SHAPES.items():
        header[name] = {"dtype": "U8", "shape": [rows, columns], "data_offsets": [end, end + rows * columns]}
        end += rows * columns
    raw = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(end))


def parse(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(data)
    snapshot = Snapshot(folder)
    analysis = analyze_snapshot(snapshot)
    assert Analysis.from_json(analysis.to_json().encode()) == analysis
    check_shapes(snapshot, PARAMETERS)
    check_code(snapshot, ALLOWING)
    check_code(snapshot, PARAMETERS)


TARGET = Target(
    parse=parse,
    prepare=prepare,
    measured={
        "tasks/checkpoint/model_config.py": [],
        "tasks/source/checks/shapes.py": [],
        "tasks/source/checks/code.py": [],
        "tasks/source/analyze.py": ["analyze_snapshot", "_dtype"],
    },
    runs=10_000,
    floor=88,
    json=True,
    words=('"text_config"', '"eos_token_id"', '"quantization_config"', '"quant_method"', '"auto_map"', '"num_experts"'),
)

"""The texts of the measured release: the demo's, cut to what takes minutes on a 0.5 B-parameter model."""

import json
from pathlib import Path

CALIBRATION_RECORDS = 40
"""About 3,200 tokens of the demo's 11,200."""

ASKED_EVERY = 16
"""Each 16th of the evaluation text's records still asks what it asked, if it did: each question is generated for."""


def write_texts(demo: Path) -> None:
    """Write bench-evaluation.jsonl and bench-calibration.jsonl beside the demo's, in the folder `demo`."""
    evaluation = [
        record if place % ASKED_EVERY == 0 else {name: record[name] for name in ("id", "text")}
        for place, record in enumerate(_records(demo / "demo-evaluation.jsonl"))
    ]
    _write(demo / "bench-evaluation.jsonl", evaluation)
    _write(demo / "bench-calibration.jsonl", _records(demo / "demo-calibration.jsonl")[:CALIBRATION_RECORDS])


def _records(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _write(path: Path, records: list[dict[str, str]]) -> None:
    lines = (json.dumps(record, ensure_ascii=False) for record in records)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

"""The texts of the measured release: the demo's, with fewer questions and less to calibrate on."""

import json
from pathlib import Path

CALIBRATION_RECORDS = 40
"""Of the demo's 140. Each token costs both sides the same, in one and the same tool."""

ASKED_EVERY = 8
"""Each 8th of the evaluation text's records still asks what it asked, if it did. They are fewer than the questions that
a release asks without a gate on the answers, so both recipes, and the script, ask the same ones."""


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

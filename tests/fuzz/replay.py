"""Give a parser known inputs and measure its branches: `python -m tests.fuzz.replay NAME WORK FOLDER...`.

Without instrumentation, so that what is measured is what runs. WORK/report.json: {"branches", "covered", "missing"}.
"""

import json
import sys
from pathlib import Path
from typing import Any

import coverage

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    """Import and run the target under coverage, then count."""
    name, place, *folders = sys.argv[1:]
    work = Path(place).resolve()
    measure = coverage.Coverage(data_file=None, branch=True, config_file=False, source=[str(REPOSITORY / "tasks")])
    measure.start()
    from tests.fuzz.guarantee import check
    from tests.fuzz.target import load

    target = load(name)
    folder = work / "folder"
    folder.mkdir()
    if target.prepare:
        target.prepare(folder)
    for path in sorted(path for inputs in folders for path in Path(inputs).iterdir()):
        try:
            check(target.parse, path.read_bytes(), folder, target.allowed)
        except BaseException:
            print(f"The input is {path}", file=sys.stderr)
            raise
    measure.stop()
    counts = work / "coverage.json"
    measure.json_report(outfile=str(counts), morfs=[str(REPOSITORY / file) for file in target.measured])
    files = json.loads(counts.read_bytes())["files"]
    told: dict[str, Any] = {"branches": 0, "covered": 0, "missing": []}
    for file, chosen in target.measured.items():
        (facts,) = [facts for path, facts in files.items() if path.endswith(file)]
        for region in _regions(facts, chosen):
            told["branches"] += region["summary"]["num_branches"]
            told["covered"] += region["summary"]["covered_branches"]
            told["missing"] += [f"{file}:{start}->{end}" for start, end in region["missing_branches"]]
    (work / "report.json").write_text(json.dumps(told), encoding="utf-8")


def _regions(facts: dict[str, Any], chosen: Any) -> list[dict[str, Any]]:
    if not chosen:
        return [facts]
    missing = [name for name in chosen if not any(_belongs(found, name) for found in facts["functions"])]
    assert not missing, f"there is no function or class {missing}"
    return [region for found, region in facts["functions"].items() if any(_belongs(found, name) for name in chosen)]


def _belongs(function: str, name: str) -> bool:
    """Whether a function is the one of that name, a method of the class of that name, or inside of it."""
    return function == name or function.startswith(f"{name}.")


if __name__ == "__main__":
    main()

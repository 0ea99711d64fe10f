"""Writes the recipe's evaluation and calibration texts: `python -m deploy.demo.corpus [folder]`.

The output is always the same, byte for byte. A test compares it with the committed files.
"""

import sys
from pathlib import Path

from deploy.demo.corpus.generate import take
from deploy.demo.corpus.splits import Split

TEXTS = Path(__file__).parents[3] / "dags" / "recipes" / "texts"

# About twelve thousand tokens each: enough for the standard error of a mean KLD to be a few per cent of it.
DOCUMENTS = {Split.EVALUATION: 140, Split.CALIBRATION: 140}


def text(split: Split) -> str:
    """Give the JSON Lines file of a split."""
    return "".join(document.line() for document in take(split, DOCUMENTS[split]))


def main(folder: Path) -> None:
    """Write `demo-<split>.jsonl` for evaluation and calibration into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in DOCUMENTS:
        path = folder / f"demo-{split.value}.jsonl"
        path.write_text(text(split), encoding="utf-8")
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TEXTS)

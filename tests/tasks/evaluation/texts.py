"""An evaluation text of four stories and five questions."""

import json
from pathlib import Path

LINES = [
    "The cat sleeps on the stove, and the dog guards the door of the old house.",
    "Anna keeps 12 red apples in a basket; Tom has 7, so together they have 19.",
    "def add(first, second):\n    return first + second\n",
    "Wieczorem pada deszcz. Dziś jest zimno, jutro będzie cieplej.",
]


def make_text(folder: Path) -> Path:
    """Write the text into a new folder, and return that; a random model does not know the questions' answers."""
    folder.mkdir(parents=True)
    records = [{"id": f"story-{place}", "kind": "story", "text": " ".join(LINES) * 3} for place in range(4)]
    records += [
        {"id": f"ask-{place}", "kind": "fact", "text": f"{place} and 1 make {place + 1}.",
         "prompt": f"{place} and 1 make", "answer": f" {place + 1}</s>\n"}
        for place in range(5)
    ]  # fmt: skip
    (folder / "text.jsonl").write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    return folder

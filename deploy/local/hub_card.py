"""The front matter of a model's card, which the Hub repeats among the model's facts."""

import json
from typing import Any

import yaml

from deploy.local.hub_repository import Revision


def front_matter(revision: Revision) -> dict[str, Any]:
    """The YAML table between the two `---` lines that open README.md; empty where there is none or it is no YAML."""
    card = revision.file("README.md")
    if card is None:
        return {}
    text = card.source.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---\n") or "\n---" not in text[4:]:
        return {}
    try:
        table = yaml.safe_load(text[4:].split("\n---", 1)[0])
    except yaml.YAMLError:
        return {}
    # Dates and the like become text, as they do in the Hub's JSON.
    return json.loads(json.dumps(table, default=str)) if isinstance(table, dict) else {}

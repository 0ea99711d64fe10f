"""Measures the size of an artifact: the bytes of the files that hold its weights."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from tasks.errors import Unmeasured
from tasks.evaluation.measurement import Measurement
from tasks.manifest import Manifest


def measure_size(artifact: Manifest, weights: Sequence[str], parameters: int) -> dict[str, Measurement]:
    """Return size_bytes, and bits_per_weight by the source's parameters.

    weights: glob patterns of the files that an engine loads.
    parameters: how many the source has.
    Raises Unmeasured where no file of the artifact matches a pattern.
    """
    size = sum(entry.size for entry in artifact.files if any(fnmatchcase(entry.path, pattern) for pattern in weights))
    if not size:
        raise Unmeasured(f"The artifact {artifact.key[:12]} has no file of weights ({', '.join(weights)}).")
    return {
        "size_bytes": Measurement(value=float(size)),
        "bits_per_weight": Measurement(value=8 * size / parameters),
    }

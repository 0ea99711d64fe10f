"""The size of an artifact: the bytes of the files that hold its weights, by their names."""

from fnmatch import fnmatchcase

from tasks.errors import Unmeasured
from tasks.evaluation.measurement import Measurement
from tasks.manifest import Manifest

WEIGHT_FILES = ("*.gguf", "*.safetensors", "*.onnx", "*.onnx.data", "*.onnx_data")
"""What an engine loads. Left out: the tokenizer and configuration beside them, the serving code and MLflow's files."""


def measure_size(artifact: Manifest, parameters: int) -> dict[str, Measurement]:
    """Return size_bytes, and bits_per_weight by the source's parameters; raises Unmeasured without weights."""
    size = sum(entry.size for entry in artifact.files if _holds_weights(entry.path))
    if not size:
        raise Unmeasured(f"The artifact {artifact.key[:12]} has no file of weights ({', '.join(WEIGHT_FILES)}).")
    return {
        "size_bytes": Measurement(value=float(size)),
        "bits_per_weight": Measurement(value=8 * size / parameters),
    }


def _holds_weights(path: str) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in WEIGHT_FILES)

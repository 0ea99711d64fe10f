"""Checks the headers and the index of the weights: every tensor once, in the file that the index names, and matrices in
a type in which models are trained. `check_architecture` knows which other tensors need such a type.
"""

from tasks.checkpoint.dtypes import FLOATS
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.tensor import Tensor
from tasks.errors import Corrupt, Unsupported
from tasks.source.parameters import ScanParameters


def check_weights(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt with the file and the tensor, or where the weights have no tensor, and Unsupported for matrices of
    integers or small floats without a quantization_config, which says what they stand for, and for a
    quantization_config without such tensors.
    """
    tensors, method = snapshot.tensors, snapshot.config.quantization
    if not tensors:
        raise Corrupt("The weights hold no tensor; ask the publisher to fix them.")
    for name, tensor in tensors.items():
        if name.endswith(".weight") and tensor.dtype not in FLOATS and not method:
            raise quantized(name, tensor)
    if method and all(tensor.dtype in FLOATS for tensor in tensors.values()):
        raise Unsupported(
            f"config.json has a quantization_config ({method}), and the weights are plain numbers, which transformers "
            "would quantize as it loads them; ask the publisher to remove the field if the model was merged."
        )
    files = {tensor.file for tensor in tensors.values()}
    return f"{len(tensors)} tensors in {len(files)} files of {snapshot.weight_format}", True


def quantized(name: str, tensor: Tensor) -> Unsupported:
    """Return the error for a weight whose type says that it is quantized, and nothing says how."""
    return Unsupported(
        f"{tensor.file}: the tensor {name!r} is stored as {tensor.dtype}, so it is quantized, and config.json has no "
        "quantization_config; release the unquantized model that it was made from."
    )

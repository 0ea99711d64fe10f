"""Compares an output head that is stored with the embedding that is stored beside it."""

from tasks.checkpoint.dtypes import FLOATS
from tasks.checkpoint.snapshot import Snapshot


def is_embedding(snapshot: Snapshot, embedding: str, head: str) -> bool:
    """Whether a stored head has the values of the embedding, so that the two are one matrix.

    transformers does not tie a head with other values, whatever config.json says. llama.cpp's converter keeps a stored
    head for most families; if it drops one with other values, the comparison of the weights names it.

    embedding, head: names of tensors. Raises Corrupt or Refused for weights that cannot be read.
    """
    stored = snapshot.tensors[embedding], snapshot.tensors[head]
    if any(tensor.dtype not in FLOATS for tensor in stored):
        # The numbers of quantized weights are not compared.
        return True
    # The facts of other models are read without torch.
    from tasks.checkpoint.tensors import have_same_values

    return have_same_values(snapshot.folder, embedding, head)

"""A NumPy file of a reference, of the right name and any content: no pickle is loaded, no false shape believed."""

from pathlib import Path

import numpy as np

from tasks.evaluation.reference_reader import open_reference
from tests.fuzz.target import Target

INFO = """
{"kind": "top-k", "architecture": "x", "windows": 1, "window_tokens": 4, "vocabulary_size": 8, "hidden_size": 2,
 "head_dtype": null, "kept": 2, "reproduction_error": null, "perplexity": {"value": 1.0}, "first_token_ids": []}
"""


def prepare(folder: Path) -> None:
    (folder / "reference.json").write_text(INFO)
    np.save(folder / "top-ids.npy", np.zeros((1, 4, 2), np.int32))
    np.save(folder / "top-logprobs.npy", np.zeros((1, 4, 2), np.float32))
    np.save(folder / "target-nll.npy", np.zeros((1, 3), np.float32))


def parse(data: bytes, folder: Path) -> None:
    (folder / "tokens.npy").write_bytes(data)
    reference = open_reference(folder)
    assert reference.tokens.shape == (1, 4) and reference.tokens.dtype == np.int32
    reference.tokens.sum()


TARGET = Target(
    parse=parse,
    prepare=prepare,
    measured={"tasks/evaluation/reference_reader.py": ["open_reference", "TopKReference.__init__", "_read"]},
    runs=10_000,
    floor=100,
    words=("\x93NUMPY", "'descr'", "'<i4'", "'|O'", "'fortran_order'", "'shape'", "(1, 4)", "[('a', '<i4')]"),
    longest=400,
    # NumPy reads the header as a literal, by Python's own parser.
    allowed=("compile",),
)

"""What a faulty tensor looks like is said only if it is plain."""

import numpy as np
import pytest

from tasks.formats.stored import Floats
from tasks.integrity.likeness import Likeness, looks_like

RANDOM = np.random.default_rng(0)
EXPECTED: Floats = RANDOM.normal(0, 1, (40, 64)).astype(np.float32)
OTHER: Floats = RANDOM.normal(0, 1, (40, 64)).astype(np.float32)


def seen(name: str, expected: Floats, stored: Floats, scale: float = 1.0) -> Likeness:
    likeness = Likeness(name, scale=scale)
    for first in range(0, len(expected), 16):
        likeness.add(expected[first : first + 16], stored[first : first + 16])
    return likeness


@pytest.mark.parametrize(
    ("stored", "scale", "said"),
    [
        (EXPECTED * 1.02, 1.02, "scaled"),
        (EXPECTED * 1.8, 1.8, None),
        (EXPECTED * 0, 0.0, "zeroed"),
        (EXPECTED[::-1], 0.0, "as if its rows were reversed"),
        (EXPECTED.T.reshape(40, 64), 0.0, "transposed"),
        (OTHER, 0.0, "like another"),
        (RANDOM.normal(0, 1, (40, 64)).astype(np.float32), 0.0, None),
        (EXPECTED + 0.1 * OTHER, 1.0, None),
    ],
)
def test_what_it_looks_like(stored: Floats, scale: float, said: str | None) -> None:
    another = seen("another", OTHER, OTHER)
    tensor = seen("one", EXPECTED, stored.astype(np.float32), scale)
    assert looks_like(tensor, [tensor, another]) == said


def test_a_tensor_of_which_nothing_was_read_looks_like_nothing() -> None:
    assert looks_like(Likeness("one"), []) is None

"""Pickled weights, changed byte by byte: plain tensors or one sentence, in the runtime whose library reads them.

libFuzzer sees nothing of a library in C++, so these are random changes of sound files and of hostile ones, from a fixed
seed. All that is refused elsewhere (code, processes, files outside) is watched here as well.
"""

import io
import os
import pickle
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")

from tasks.checkpoint.pickles import load_tensors, read_shapes
from tests.fuzz.guarantee import Broken, check

EXECUTIONS = 3000
"""For each of the files; some milliseconds each."""


class Calls:
    """Loading it calls something."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ran",)


def archive() -> bytes:
    made = io.BytesIO()
    torch.save({"a.weight": torch.ones(2, 3), "b": torch.arange(4, dtype=torch.int64)}, made)
    return made.getvalue()


def legacy() -> bytes:
    made = io.BytesIO()
    torch.save({"a.weight": torch.ones(2, 3)}, made, _use_new_zipfile_serialization=False)
    return made.getvalue()


def raw() -> bytes:
    return pickle.dumps({"a": Calls()})


def archive_of_code() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as members:
        members.writestr("archive/data.pkl", pickle.dumps({"a": Calls()}, protocol=2))
        members.writestr("archive/version", "3\n")
    return made.getvalue()


def parse(data: bytes, folder: Path) -> None:
    path = folder / "pytorch_model.bin"
    path.write_bytes(data)
    for name, value in load_tensors(path):
        assert isinstance(name, str) and isinstance(value, torch.Tensor)
    read_shapes(folder)


def changes(data: bytes, seed: int) -> Iterator[bytes]:
    """Yield copies with some bytes changed, doubled, dropped or exchanged with those of elsewhere."""
    chance = random.Random(seed)
    for _ in range(EXECUTIONS):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 8))):
            place = chance.randrange(len(changed))
            action = chance.random()
            if action < 0.5:
                changed[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256), *b".Rc}]q("))
            elif action < 0.7:
                other = chance.randrange(len(changed))
                changed[place : place + 4] = changed[other : other + 4]
            elif action < 0.85:
                del changed[place : place + chance.choice((1, 4, 64))]
            else:
                changed[place:place] = changed[place : place + chance.choice((1, 8))]
            if not changed:
                changed = bytearray(data)
        yield bytes(changed)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("made", [archive, legacy, raw, archive_of_code], ids=lambda made: made.__name__)
def test_whatever_a_pickle_holds_it_gives_tensors_or_a_sentence(
    made: Callable[[], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data: bytes = made()
    sound = made in (archive, legacy)
    # Once unwatched: what torch imports when it loads something for the first time is torch's.
    try:
        parse(data, tmp_path)
    except Exception:
        assert not sound
    tried = 0
    for changed in changes(data, seed=5):
        try:
            check(parse, changed, tmp_path, allowed=("pickle.find_class",))
        except (Exception, Broken) as error:
            raise AssertionError(f"{type(error).__name__} on {changed.hex()}") from error
        tried += 1
    assert tried >= EXECUTIONS
    assert not (tmp_path / "ran").exists()


def test_the_library_would_have_run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the fuzzed bytes hold is live: Python's own pickle does run it."""
    monkeypatch.chdir(tmp_path)
    loaded: Any = pickle.loads(raw())
    assert loaded == {"a": 0} and (tmp_path / "ran").exists()

"""Every field of a JSON file has its mutants, and each changes that field alone."""

import json
from pathlib import Path
from typing import Any

from tests.mutations.artifacts import sample
from tests.mutations.json_fields import json_mutants
from tests.mutations.values import changed

CONTENT: dict[str, Any] = {
    "theta": 10000.0,
    "inner": {"type": "default", "flag": True},
    "ends": [1, 2],
    "none": None,
    "vocabulary": {f"t{number}": number for number in range(20)},
    "merges": [[f"a{number}", f"b{number}"] for number in range(20)],
}


def mutated(folder: Path) -> dict[str, Any]:
    """Return the content of each mutant of CONTENT, by what is changed."""
    found = {}
    for place, mutant in enumerate(_mutants(folder)):
        mine = folder / str(place)
        mine.mkdir()
        (mine / "file.json").write_text(json.dumps(CONTENT))
        mutant.apply(mine)
        found[f"{mutant.field} {mutant.change}"] = json.loads((mine / "file.json").read_text())
    return found


def test_every_leaf_is_changed_and_everything_is_removed(tmp_path: Path) -> None:
    found = mutated(tmp_path)
    leaves = ["theta", "inner.type", "inner.flag", "ends.0", "ends.1", "none"]
    assert {f"{leaf} changed" for leaf in leaves} <= found.keys()
    assert {f"{place} removed" for place in [*leaves, "inner", "ends", "vocabulary", "merges"]} <= found.keys()
    assert found["inner.type changed"] == {**CONTENT, "inner": {"type": "linear", "flag": True}}
    assert found["inner.flag removed"] == {**CONTENT, "inner": {"type": "default"}}
    assert found["ends.0 removed"] == {**CONTENT, "ends": [2]}
    assert all(content != CONTENT for content in found.values())


def test_a_few_entries_stand_for_a_table(tmp_path: Path) -> None:
    found = mutated(tmp_path)
    entries = {name for name in found if name.startswith(("vocabulary.", "merges."))}
    assert {name.split(".")[1].split(" ")[0] for name in entries} == {"t0", "t10", "t18", "t19", "0", "10", "18", "19"}
    assert found["vocabulary.t18 exchanged with the next"]["vocabulary"]["t18"] == 19
    assert found["merges.18 exchanged with the next"]["merges"][-2:] == CONTENT["merges"][:-3:-1]
    assert len(found["merges.19 removed"]["merges"]) == 19


def test_a_value_becomes_another_of_its_type() -> None:
    for value in (True, 0, 1, 384, -1, 0.0, 1e-6, 10000.0, "silu", "anything"):
        assert changed(value) != value
        assert type(changed(value)) is type(value)
    assert changed(None) is not None


def test_a_sample_has_one_mutant_of_each_change_and_is_the_same_each_time(tmp_path: Path) -> None:
    mutants = _mutants(tmp_path)
    drawn = sample(mutants, 1)
    assert [str(one) for one in drawn] == [str(one) for one in sample(mutants, 1)]
    assert sorted(one.change for one in drawn) == sorted({one.change for one in mutants})


def _mutants(folder: Path) -> list[Any]:
    (folder / "file.json").write_text(json.dumps(CONTENT))
    return list(json_mutants(folder, "file.json"))

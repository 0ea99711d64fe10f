"""A later call measures what is missing, and takes nothing for its own that was measured under other conditions."""

from pathlib import Path

from bench.results import due, keep, missing, of_one_kind, read_results
from bench.rows import Row
from tests.bench.samples import CONDITIONS, metered, repetition


def test_a_repetition_comes_back_from_its_file(tmp_path: Path) -> None:
    found = repetition("fetch", "by hand", 2, 1.5, facts={"steps": {"fetch": {"cpu_seconds": 1.5}}})
    keep(tmp_path, found)
    assert [path.name for path in tmp_path.iterdir()] == ["fetch--by-hand--2.json"]
    assert read_results(tmp_path) == [found]


def test_what_is_there_is_not_measured_again() -> None:
    known = [repetition("fetch", "ours", number, 1.0) for number in (1, 3)]
    assert missing(known, "fetch", "ours", 4, CONDITIONS, again=False) == [2, 4]
    assert missing(known, "fetch", "by hand", 2, CONDITIONS, again=False) == [1, 2]
    assert missing(known, "onnx", "ours", 2, CONDITIONS, again=False) == [1, 2]


def test_other_code_versions_or_hardware_do_not_count() -> None:
    known = [repetition("fetch", "ours", 1, 1.0)]
    for field, value in (("code", "d" * 64), ("llama_cpp", "d" * 64), ("processor", "Q"), ("cores", 4)):
        assert missing(known, "fetch", "ours", 1, CONDITIONS.model_copy(update={field: value}), again=False) == [1], (
            field
        )
    # The same code under another commit is the same code.
    assert missing(known, "fetch", "ours", 1, CONDITIONS.model_copy(update={"commit": "d" * 40}), again=False) == []


def test_what_others_disturbed_is_measured_again_on_request() -> None:
    known = [repetition("fetch", "ours", 1, 1.0, metered=metered(1.0, others=0.4)), repetition("fetch", "ours", 2, 1.0)]
    assert missing(known, "fetch", "ours", 2, CONDITIONS, again=False) == []
    assert missing(known, "fetch", "ours", 2, CONDITIONS, again=True) == [1]


def test_what_is_measured_again_is_measured_on_all_sides() -> None:
    row = Row("fetch", "fetch and verify", ("ours", "by hand"), 2)
    known = [repetition("fetch", side, number, 1.0) for side in row.sides for number in (1, 2)]
    known[1] = repetition("fetch", "ours", 2, 1.0, metered=metered(1.0, others=0.4))
    assert due(known, row, 2, CONDITIONS, again=True) == {"ours": [2], "by hand": [2]}
    assert due(known, row, 2, CONDITIONS, again=False) == {"ours": [], "by hand": []}
    assert due(known[:3], row, 2, CONDITIONS, again=False) == {"ours": [], "by hand": [2]}


def test_figures_of_other_code_are_in_no_median_with_later_ones() -> None:
    other = CONDITIONS.model_copy(update={"code": "d" * 64})
    old, new = repetition("fetch", "ours", 1, 1.0, conditions=other), repetition("fetch", "by hand", 2, 1.0)
    alone = repetition("onnx", "ours", 1, 1.0, conditions=other)
    assert of_one_kind([old, new, alone]) == [new, alone]


def test_figures_of_another_machine_do_not_stand_beside_this_ones() -> None:
    elsewhere = CONDITIONS.model_copy(update={"cores": 64})
    there, here = repetition("onnx", "ours", 1, 1.0, conditions=elsewhere), repetition("fetch", "ours", 2, 1.0)
    assert of_one_kind([there, here]) == [here]
    assert of_one_kind([]) == []


def test_a_run_of_airflow_lasts_as_long_as_airflow_says() -> None:
    assert repetition("again", "ours", 1, 5.0, facts={"seconds": 7.5}).wall_seconds == 7.5
    assert repetition("fetch", "ours", 1, 5.0).wall_seconds == 10.0

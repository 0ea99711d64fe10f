"""The page's tables say what the repetitions' files say, and nothing else."""

from pathlib import Path

import pytest

from bench.results import keep
from bench.rows import Row
from bench.table import BEGIN, END, render, write_table
from tests.bench.samples import CONDITIONS, SOURCE, metered, release, repetition

ROW = Row("fetch", "fetch and verify", ("ours", "by hand"), 5)


def cells(text: str, side: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| fetch and verify | {side} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][2:]


def test_medians_spreads_and_the_ratio_of_each_pair() -> None:
    found = [repetition("fetch", "ours", number, cpu) for number, cpu in enumerate((6.0, 4.0, 9.0), 1)]
    found += [repetition("fetch", "by hand", number, cpu) for number, cpu in enumerate((5.0, 5.0, 6.0), 1)]
    ours = cells(render(found, [ROW]), "ours")
    assert ours[0] == "6.0 (4.0 to 9.0)"
    assert ours[1] == "1.20 (0.80 to 1.50)"
    assert ours[2] == "12 (8 to 18)"
    assert ours[4:6] == ["1000 (1000 to 1000)", "2 (2 to 2)"]
    assert ours[-1] == "3 of 5"
    assert cells(render(found, [ROW]), "by hand")[:2] == ["5.0 (5.0 to 6.0)", ""]


def test_what_was_not_measured_says_so() -> None:
    assert "\nNot measured: `fetch` (ours), `fetch` (by hand).\n" in render([], [ROW])
    assert "| not measured |" in render([], [])


def test_disturbed_repetitions_are_counted_aloud() -> None:
    found = [
        repetition("fetch", "ours", 1, 6.0, metered=metered(6.0, others=0.31)),
        repetition("fetch", "ours", 2, 6.0),
    ]
    assert cells(render(found, [ROW]), "ours")[-1] == "2 of 5, 1 disturbed"


@pytest.mark.parametrize(("script", "verdict"), [(96.0, "met"), (94.0, "**missed**")])
def test_a_goal_is_met_or_missed_by_what_was_measured(script: float, verdict: str) -> None:
    cost = {"fetch": 3.0, "convert:x": 85.0, "upload:x": script - 88}
    steps = {name: {"cpu_seconds": seconds} for name, seconds in cost.items()}
    found = [release(1, 100.0), repetition("release", "by hand", 1, script, facts={"steps": steps})]
    goals = {line.split("|")[1].strip(): line for line in render(found, []).splitlines() if line.count("|") == 4}
    (cpu,) = [line for text, line in goals.items() if text.startswith("the whole release: CPU")]
    assert cpu.rstrip(" |").endswith(f"| {verdict}")
    (outside,) = [line for text, line in goals.items() if text.startswith("outside the tools")]
    assert "15.0%" in outside
    assert outside.rstrip(" |").endswith("**missed**")
    (airflow,) = [line for text, line in goals.items() if text.startswith("Airflow's share")]
    assert "1.20 CPU s a task" in airflow
    (memory,) = [line for text, line in goals.items() if "load no engine" in text]
    assert "100 MB (pin)" in memory


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "sent by the Hub 1.00 times; stored 1.00 times; read back 0.00 times | met"),
        ({"sent_by_hub": 2000}, "sent by the Hub 2.00 times; stored 1.00 times; read back 0.00 times | **missed**"),
        ({"stored": 2000}, "sent by the Hub 1.00 times; stored 2.00 times; read back 0.00 times | **missed**"),
        ({"read_from_store": 500}, "sent by the Hub 1.00 times; stored 1.00 times; read back 0.50 times | **missed**"),
        # A log that nobody wrote.
        (
            {"sent_by_hub": 0, "stored": 0},
            "sent by the Hub 0.00 times; stored 0.00 times; read back 0.00 times | **missed**",
        ),
    ],
)
def test_a_source_is_sent_and_stored_once_in_every_release(changed: dict[str, int], told: str) -> None:
    found = [release(1, 100.0, source={**SOURCE, **changed}), release(2, 100.0)]
    assert told in render(found, [])


def test_the_largest_of_all_light_processes_is_reported() -> None:
    task = {"seconds": 2.0, "cpu_seconds": 1.0, "peak_memory_bytes": 450_000_000, "reused": False}
    found = [release(1, 100.0, by_task={"fetch": task}), release(2, 100.0)]
    (line,) = [line for line in render(found, []).splitlines() if "load no engine" in line]
    assert "450 MB (fetch) | **missed**" in line


def test_a_disturbed_release_shows_no_wall_time() -> None:
    busy = release(2, 100.0, seconds=100.0, lower_bound_seconds=100.0)
    busy = busy.model_copy(update={"metered": busy.metered.model_copy(update={"others": 0.5})})
    found = [release(1, 100.0, seconds=130.0, lower_bound_seconds=100.0), busy]
    (line,) = [line for line in render(found, []).splitlines() if "any schedule" in line]
    assert "1.30 times | **missed**" in line


def test_where_ours_takes_less_than_the_tool_that_is_what_tools_take() -> None:
    task = {"reused": False, "peak_memory_bytes": 0, "seconds": 1.0, "cpu_seconds": 10.0}
    steps = {"convert:onnx-int8": {"cpu_seconds": 50.0}, "reference": {"cpu_seconds": 40.0}}
    found = [
        release(1, 100.0, by_task={"onnx-int8.convert": task, "reference": {**task, "cpu_seconds": 45.0}}),
        repetition("release", "by hand", 1, 90.0, facts={"steps": steps}),
    ]
    (line,) = [line for line in render(found, []).splitlines() if line.startswith("| outside the tools")]
    assert "50.0% | **missed**" in line


def test_runs_of_other_code_are_no_measure_for_each_other() -> None:
    other = CONDITIONS.model_copy(update={"code": "d" * 64})
    row = Row("naive", "nothing shared", ("naive",), 1, release=True)
    hand = repetition("release", "by hand", 1, 50.0, facts={"steps": {"fetch": {"cpu_seconds": 50.0}}})
    for conditions, ratio in ((CONDITIONS, "1.50"), (other, "")):
        naive = repetition("naive", "naive", 1, 75.0, conditions=conditions)
        (line,) = [line for line in render([hand, naive], [row]).splitlines() if line.startswith("| nothing shared |")]
        assert line.split("|")[4].strip() == ratio


def test_the_page_keeps_what_people_wrote(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"# Before\n{BEGIN}\nstale figures\n{END}\nAfter.\n")
    keep(tmp_path / "results", repetition("fetch", "ours", 1, 6.0))
    write_table(tmp_path / "results", page)
    text = page.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("\nAfter.\n")
    assert "stale figures" not in text
    assert "| fetch and verify | ours | 6.0 |" in text


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Nothing\n")
    with pytest.raises(ValueError, match="lacks the marks"):
        write_table(tmp_path, tmp_path / "README.md")


def test_what_nothing_shared_would_cost_is_added_up_from_the_scripts_steps() -> None:
    cost = {"fetch": 1.0, "reference": 10.0, "convert:gguf-f16": 5.0, "upload:gguf-f16,gguf-q8_0": 1.0}
    cost |= {f"{kind}:{target}": 2.0 for kind in ("evaluate", "benchmark") for target in ("gguf-f16", "gguf-q8_0")}
    cost["convert:gguf-q8_0"] = 3.0
    steps = {name: {"cpu_seconds": seconds} for name, seconds in cost.items()}
    total = sum(cost.values())
    found = repetition("release", "by hand", 1, total, facts={"steps": steps})
    # The F16 file and the source's answers once more, for the second target.
    assert f"{(total + 5 + 10) / total:.2f} times the script's CPU" in render([found], [])


@pytest.mark.parametrize(("cpu", "verdict"), [(59.0, "met"), (61.0, "**missed**")])
def test_a_release_that_compares_less_text_is_held_against_the_scripts_whole_one(cpu: float, verdict: str) -> None:
    hand = repetition("release", "by hand", 1, 100.0, facts={"steps": {"fetch": {"cpu_seconds": 100.0}}})
    row = Row("early", "less text", ("ours",), 2, release=True)
    text = render([hand, repetition("early", "ours", 1, cpu)], [row])
    (figures,) = [line for line in text.splitlines() if line.startswith("| less text |")]
    assert figures.split("|")[4].strip() == f"{cpu / 100:.2f}"
    (goal,) = [line for line in text.splitlines() if "ending when its gates are decided" in line]
    assert goal.rstrip(" |").endswith(verdict)


@pytest.mark.parametrize(
    ("seconds", "started", "verdict"),
    [(60.0, "pin", "met"), (71.0, "pin", "**missed**"), (40.0, "x.convert", "**missed**")],
)
def test_an_unchanged_release_is_held_against_airflow_alone(seconds: float, started: str, verdict: str) -> None:
    tasks = {started: {"reused": False}, "scan": {"reused": True}}
    again = {"seconds": seconds, "by_task": tasks, "new_versions": 0}
    fine = {"seconds": 50.0, "by_task": {"pin": {"reused": False}}, "new_versions": 0}
    found = [repetition("again", "ours", number, 9.0, facts=facts) for number, facts in ((1, again), (2, fine))]
    found += [repetition("floor", "ours", number, 9.0, facts={"seconds": s}) for number, s in ((1, 39.0), (2, 41.0))]
    (line,) = [line for line in render(found, []).splitlines() if "the unchanged release again" in line]
    assert "Airflow takes 40 s" in line
    assert line.rstrip(" |").endswith(verdict)

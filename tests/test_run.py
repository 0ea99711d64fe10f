"""The runner of all tests: steps side by side keep their output together, and the slowest tests are listed."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from _pytest.mark.expression import Expression

from tests import run
from tests.run import Outcome, Step, all_steps, check_steps, matrix_steps, run_side_by_side, run_streamed, slowest


def step(name: str, code: str) -> Step:
    return Step(name, [sys.executable, "-c", f"import os, time\n{code}"], {"WORD": name})


def test_two_at_a_time_and_each_output_in_one_piece() -> None:
    code = "print('begin', os.environ['WORD'], flush=True); time.sleep(1); print('end', os.environ['WORD'])"
    ended: list[Outcome] = []
    began = time.monotonic()
    outcomes = run_side_by_side([step(name, code) for name in "abcd"], 2, ended.append)
    assert 2 <= time.monotonic() - began < 3.9
    assert outcomes == ended
    assert sorted(outcome.output for outcome in ended) == [f"begin {name}\nend {name}\n" for name in "abcd"]
    assert {outcome.status for outcome in outcomes} == {0}


def test_after_a_failure_nothing_else_is_started() -> None:
    steps = [step("a", "raise SystemExit(3)"), step("b", "time.sleep(0.5)"), step("c", ""), step("d", "")]
    outcomes = run_side_by_side(steps, 2, lambda outcome: None)
    assert {outcome.step.name: outcome.status for outcome in outcomes} == {"a": 3, "b": 0}


def test_the_slowest_tests_come_first_with_their_fixtures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test_some.py").write_text(
        """
import time, pytest
@pytest.fixture
def slow(): time.sleep(0.4)
def test_slow(slow): pass
@pytest.mark.parametrize("n", range(30))
def test_fast(n): time.sleep(0.01)
"""
    )
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path)]
    (outcome,) = run_streamed(Step("some", [*command, f"--junitxml={report}"], report=report))
    assert outcome.status == 0
    times = slowest([tmp_path / "of a suite that wrote none.xml", report])
    assert len(times) == run.SLOWEST
    assert times[0][0] > 0.4
    assert times[0][1].endswith("test_some::test_slow")
    printed = capsys.readouterr().out
    assert "The slowest tests of: some" in printed
    assert "0.4 s  test_some::test_slow" in printed


def test_check_is_the_beginning_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "tested_runtimes", lambda: ["dev"])
    everything = all_steps(tmp_path)
    assert everything[:3] == check_steps(tmp_path)
    assert [len(group) for group in everything[:-1]] == [1, 1, 2]
    reports = [found.report for group in everything[2:] for found in group if found.report]
    assert len(set(reports)) == len(reports) > 4


@pytest.mark.parametrize("folder", ["tests/chaos", "tests/integration"])
@pytest.mark.parametrize("marks", [set(), {"servers"}, {"stack"}, {"stack", "servers"}, {"stack", "shared_stack"}])
def test_every_test_of_the_dev_environment_is_run_by_one_step(marks: set[str], folder: str, tmp_path: Path) -> None:
    suites = [found for group in all_steps(tmp_path) for found in group if "pytest" in found.command]
    of_dev = [found for found in suites if "--runtime" not in found.command]
    assert len(of_dev) < len(suites)
    assert len([found for found in of_dev if selects(found, marks, folder)]) == 1


def selects(suite: Step, marks: set[str], folder: str) -> bool:
    """Return whether a suite runs a test with these marks in this folder."""
    expression = Expression.compile(suite.command[list(suite.command).index("-m", 3) + 1])
    paths = [word for word in suite.command if word.startswith("tests/")] or [folder]
    return (
        folder in paths
        and f"--ignore={folder}" not in suite.command
        and expression.evaluate(lambda name, /, **_: name in marks)
    )


def test_the_steps_keep_their_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    plain = step("plain", "import sys; raise SystemExit(int(sys.dont_write_bytecode))")
    (streamed,) = run_streamed(plain)
    (captured,) = run_side_by_side([plain], 1, lambda outcome: None)
    assert (streamed.status, captured.status) == (0, 0)


def test_an_expression_runs_the_runtimes_that_it_concerns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "runtime", lambda name: SimpleNamespace(python=Path(name)))
    ((llama,),) = matrix_steps(tmp_path, "target=gguf-*")
    assert llama.command[0] == "llama-cpp"
    assert "--matrix target=gguf-*" in " ".join(llama.command)
    assert len(matrix_steps(tmp_path, "arch=llama")[0]) == 3

import pytest

from bench.schedule.layout import as_declared, floor, half_the_host, laid_out, one_thread
from bench.schedule.work import Work

CHAIN = {
    "pin": Work(pooled=False, seconds=1),
    "reference": Work(after=("pin",), threads=8, seconds=10, parallel=0.8),
    "evaluate": Work(after=("reference",), threads=4, seconds=8, parallel=0.5),
    "benchmark": Work(after=("evaluate",), threads=None, seconds=3, parallel=0.9),
}


def test_a_chain_takes_the_sum_of_its_tasks() -> None:
    assert laid_out(CHAIN, 2, one_thread) == 1 + 10 + 8 + 3


def test_threads_shorten_a_task_by_amdahls_law() -> None:
    reference, evaluate = 10 * (0.2 + 0.8 / 8), 8 * (0.5 + 0.5 / 4)
    assert laid_out(CHAIN, 64, as_declared) == pytest.approx(1 + reference + evaluate + 3)
    assert laid_out(CHAIN, 64, half_the_host) == pytest.approx(1 + 10 * (0.2 + 0.8 / 32) + 8 * (0.5 + 0.5 / 32) + 3)


def test_two_tasks_that_threads_help_run_side_by_side() -> None:
    two = {name: Work(threads=8, seconds=8, parallel=1) for name in ("a", "b")}
    assert laid_out(two, 8, as_declared) == 2.0


def test_tasks_wait_for_a_free_core() -> None:
    three = {name: Work(seconds=4) for name in "abc"}
    assert [laid_out(three, cores, as_declared) for cores in (1, 2, 3)] == [12, 8, 4]


def test_a_timing_waits_until_it_has_the_host_alone() -> None:
    tasks = {"timing": Work(threads=None, seconds=1), "long": Work(seconds=5), "first": Work(seconds=1, after=())}
    tasks["after"] = Work(after=("first",), seconds=1)
    assert laid_out(tasks, 2, as_declared) == 6.0


def test_light_tasks_take_no_core() -> None:
    tasks = {name: Work(pooled=False, seconds=2) for name in "abcdef"} | {"g": Work(seconds=2)}
    assert laid_out(tasks, 1, as_declared) == 2.0


def test_the_task_with_the_most_after_it_starts_first() -> None:
    """The other order would take 6 s: `short` before `first` leaves a core idle at the end."""
    tasks = {
        "a short one": Work(seconds=2),
        "first": Work(seconds=2),
        "second": Work(after=("first",), seconds=2),
        "third": Work(after=("second",), seconds=2),
    }
    assert laid_out(tasks, 1, as_declared) == 8.0
    assert laid_out({**tasks, "b short one": Work(seconds=2)}, 2, as_declared) == 6.0


@pytest.mark.parametrize("cores", [1, 2, 8, 64])
def test_no_schedule_undercuts_the_floor(cores: int) -> None:
    tasks = CHAIN | {f"convert {number}": Work(after=("pin",), seconds=5) for number in range(9)}
    for slots in (one_thread, half_the_host, as_declared):
        assert laid_out(tasks, cores, slots) >= floor(tasks, cores)


def test_the_floor_is_the_work_on_few_cores_and_the_longest_chain_on_many() -> None:
    tasks = {"start": Work(pooled=False, seconds=1)}
    tasks |= {f"convert {number}": Work(after=("start",), seconds=5) for number in range(8)}
    assert floor(tasks, 2) == 1 + 8 * 5 / 2
    assert floor(tasks, 64) == 6
    timed = tasks | {"timing": Work(after=("start",), threads=None, seconds=3)}
    assert floor(timed, 2) == 1 + (8 * 5 + 2 * 3) / 2

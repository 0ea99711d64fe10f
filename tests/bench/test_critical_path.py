from bench.critical_path import Task, critical_path, lower_bound

GRAPH = {
    "pin": Task(1.0, 0, []),
    "base": Task(4.0, 1, ["pin"]),
    "one": Task(6.0, 1, ["base"]),
    "two": Task(6.0, 1, ["base"]),
    "alone": Task(3.0, 2, ["one"]),
    "end": Task(2.0, 0, ["alone", "two", "skipped"]),
}


def test_the_longest_chain_of_dependencies() -> None:
    assert critical_path(GRAPH) == 1 + 4 + 6 + 3 + 2


def test_work_that_does_not_fit_the_processors_takes_longer() -> None:
    assert lower_bound(GRAPH, cores=2) == 16, "4 + 6 + 6 + 2 x 3 on two processors need 11 s, between 1 s and 2 s"
    assert lower_bound(GRAPH, cores=1) == 1 + (4 + 6 + 6 + 3) + 2
    many = GRAPH | {f"more {number}": Task(6.0, 1, ["base"]) for number in range(4)}
    assert lower_bound(many, cores=2) == 1 + (4 + 6 * 6 + 2 * 3) / 2

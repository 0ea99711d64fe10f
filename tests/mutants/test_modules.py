"""The tests of each module are found, and they exist."""

import tomllib

from tasks.settings import REPOSITORY
from tests.mutants.__main__ import MODULES, groups, modules_with_tests


def test_every_module_and_every_test_exists() -> None:
    table = tomllib.loads(MODULES.read_text(encoding="utf-8"))
    named = [*table, *(test for tests in table.values() for test in tests)]
    assert [path for path in named if not (REPOSITORY / path).exists()] == []
    assert all(table.values()), "a module without tests cannot lose a mutant"


def test_a_module_is_judged_by_its_own_tests_first() -> None:
    tested = modules_with_tests()
    paths = "tasks/source/checks/paths.py"
    assert groups(paths, tested[paths])[0] == ("dev", ["tests/tasks/source/checks/test_paths.py"])
    normalization = "tasks/checkpoint/normalization.py"
    assert [name for name, _ in groups(normalization, tested[normalization])[:2]] == ["dev", "torch"]
    assert "tests/tasks/store/test_recovery_killed_writers.py" in tested["tasks/store/recovery.py"]
    assert "tests/golden/test_golden.py" in tested["tasks/checkpoint/analysis.py"]

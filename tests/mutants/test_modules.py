"""The table of modules and their tests names files that exist."""

import tomllib
from pathlib import Path

from tasks.settings import REPOSITORY


def test_every_module_and_every_test_exists() -> None:
    table = tomllib.loads(Path(__file__).with_name("modules.toml").read_text(encoding="utf-8"))
    named = [*table, *(test for tests in table.values() for test in tests)]
    assert [path for path in named if not (REPOSITORY / path).exists()] == []
    assert all(table.values()), "a module without tests cannot lose a mutant"

"""The processor has a name, also where the kernel does not tell its model."""

import pytest

from tasks.host import processor as module
from tasks.host.processor import processor


@pytest.mark.parametrize(("told", "machine", "name"), [("Some CPU", "x", "Some CPU"), (None, "riscv64", "riscv64")])
def test_it_is_the_model_or_else_the_machine(
    monkeypatch: pytest.MonkeyPatch, told: str | None, machine: str, name: str
) -> None:
    monkeypatch.setattr(module, "processor_model", lambda: told)
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: machine)
    processor.cache_clear()
    try:
        assert processor() == name
    finally:
        processor.cache_clear()

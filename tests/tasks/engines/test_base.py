"""What an artifact's engine requires is pinned, by the engine or by what is installed where the artifact is made."""

import re
from dataclasses import replace
from importlib.metadata import version

import pytest

from tasks.engines import base
from tasks.engines.base import Engine
from tasks.formats.registry import FORMATS, load_format
from tasks.settings import REPOSITORY

ENGINES = {engine.name: engine for name in FORMATS for engine in load_format(name).engines}
TOY = Engine(
    name="toy", runtime="toy", runner="a:b", serving="a", usage=lambda folder, files, facts, prompt, context: []
)


def test_a_bare_name_is_pinned_to_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = replace(TOY, requirements=("pydantic", "numpy>=2", "other==1.5", "third~=2.1"))
    assert engine.pinned_requirements() == [f"pydantic=={version('pydantic')}", "numpy>=2", "other==1.5", "third~=2.1"]
    monkeypatch.setattr(base, "version", lambda name: "2.13.0+cpu")
    assert engine.pinned_requirements()[0] == "pydantic==2.13.0"


@pytest.mark.parametrize("name", ENGINES)
def test_a_pin_of_an_engine_is_the_one_of_its_runtime(name: str) -> None:
    engine = ENGINES[name]
    locked = (REPOSITORY / "deploy" / "runtimes" / f"{engine.runtime}.txt").read_text()
    assert engine.requirements
    assert engine.serving_file.is_file()
    for line in engine.requirements:
        distribution = re.split(r"[=<>~!]", line)[0]
        pin = f"{distribution}==" if line == distribution or "==" not in line else line
        found = re.search(rf"^(# Installed apart: )?{re.escape(pin)}", locked, re.MULTILINE)
        assert found, f"{line} is not in the lock of {engine.runtime}"

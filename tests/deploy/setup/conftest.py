"""A runtimes folder and a state folder of its own for each test."""

from pathlib import Path

import pytest

from deploy.setup import environments as environments_module
from deploy.setup import locks, places, runtimes, uv
from tests.deploy.setup.sandbox import Sandbox


@pytest.fixture
def real_home() -> Path:
    """The state folder that this test run itself uses."""
    return places.home()


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox with `tiny` locked at 1.0; uv itself is the one already installed."""
    program, env = uv.uv_at_hand()
    made = Sandbox(tmp_path / "runtimes", tmp_path / "wheels", tmp_path / "home")
    made.runtimes.mkdir()
    made.wheels.mkdir()
    made.declare("tiny")
    made.lock("1.0")
    offline = {
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(made.wheels),
        "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
    }
    monkeypatch.setenv("HALLMARK_HOME", str(made.home))
    monkeypatch.delenv("HALLMARK_ENVS", raising=False)
    for module in (runtimes, locks):
        monkeypatch.setattr(module, "RUNTIMES", made.runtimes)
    for module in (environments_module, locks):
        monkeypatch.setattr(module, "uv_at_hand", lambda: (program, env | offline))
    return made

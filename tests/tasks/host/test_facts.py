"""What a host has is detected, within the limits of its control group, and the settings override it."""

import os
import shutil
from pathlib import Path

import pytest

from tasks.errors import InvalidRecipe
from tasks.host import facts


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    return tmp_path


def test_it_is_detected(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "nvidia_gpus", lambda: 3)
    monkeypatch.setattr(facts, "_whole_cores", lambda: 1000)
    found = facts.host_facts()
    assert (found.cores, found.gpus) == (len(os.sched_getaffinity(0)), 3)
    assert 2**28 < found.memory_bytes <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found.cache_bytes == min(facts.LARGE_CACHE_BYTES, shutil.disk_usage(state).total // 2)


@pytest.mark.parametrize(
    ("quotas", "cores"), [([], 64), ([8.0], 8), ([8.0, 6.5], 6), ([0.5], 1), ([96.0], 64)], ids=str
)
def test_cores_are_those_that_the_quota_of_the_control_groups_fills(
    quotas: list[float], cores: int, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that was started with a limit on processors: all cores of its machine are visible there."""
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(64)))
    monkeypatch.setattr(facts, "core_limits", lambda: quotas)
    facts._whole_cores.cache_clear()
    assert facts.host_facts().cores == cores
    facts._whole_cores.cache_clear()


def test_memory_is_the_lowest_limit_of_the_control_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "memory_limits", lambda: [2**40, 2**21])
    facts._memory_limit.cache_clear()
    assert facts._memory_limit() == 2**21
    facts._memory_limit.cache_clear()


def test_the_settings_override_single_facts(state: Path) -> None:
    detected = facts.host_facts()
    (state / "settings.toml").write_text("[host]\ncores = 64\n")
    assert facts.host_facts() == detected.model_copy(update={"cores": 64})


@pytest.mark.parametrize(("line", "field"), [("cores = 0", "cores"), ("gpus = -1", "gpus"), ("core = 2", "core")])
def test_a_wrong_setting_is_named_with_its_file(line: str, field: str, state: Path) -> None:
    (state / "settings.toml").write_text(f"[host]\n{line}\n")
    with pytest.raises(InvalidRecipe, match=rf"{state}/settings\.toml: \[host\] .*{field}"):
        facts.host_facts()


def test_the_disk_of_a_folder_that_is_not_there_yet_is_that_of_its_parent(state: Path) -> None:
    assert facts.free_disk_bytes(state / "not" / "yet") > 0


def test_a_disk_is_named_by_where_it_is_mounted(state: Path, small_disk: Path) -> None:
    assert facts.disk_root(small_disk / "not" / "yet") == small_disk
    assert facts.same_disk(small_disk / "not" / "yet", small_disk)
    assert not facts.same_disk(small_disk, state)

"""What a host has is detected, and overridden by one file."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.errors import InvalidRecipe
from tasks.host.facts import _memory_limit, free_disk_bytes, host_facts
from tasks.settings import REPOSITORY, home
from tests.fixtures.memory_groups import ENTER, GROUP_BYTES


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    return tmp_path


def test_the_state_folder_is_the_variables_or_in_the_repository(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home() == state
    for nothing in (None, ""):
        monkeypatch.delenv("HALLMARK_HOME") if nothing is None else monkeypatch.setenv("HALLMARK_HOME", nothing)
        assert home() == REPOSITORY / ".hallmark"
    monkeypatch.setenv("HALLMARK_HOME", "relative")
    assert home() == Path.cwd() / "relative"


def test_facts_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.host.facts._whole_cores", lambda: 1000)
    facts = host_facts()
    assert facts.cores == len(os.sched_getaffinity(0))
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**28 < facts.memory_bytes <= total


def test_a_host_without_a_control_groups_limit_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.host.facts.memory_limits", list)
    assert _memory_limit.__wrapped__() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(("disk", "cache"), [(10**11, 5 * 10**10), (10**13, 200 * 2**30)])
def test_the_cache_may_have_half_of_the_disk_up_to_a_limit(
    disk: int, cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=disk))
    assert host_facts().cache_bytes == cache


def test_the_file_overrides_what_it_names_and_nothing_else(state: Path) -> None:
    detected = host_facts()
    (state / "settings.toml").write_text("[ports]\ns3 = 1\n[host]\ncores = 7\n")
    assert host_facts() == detected.model_copy(update={"cores": 7})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[host]\ncores = 0\n", r"\[host\] cores: Input should be greater than or equal to 1"),
        ('[host]\nmemory_bytes = "much"\n', r"\[host\] memory_bytes"),
        ("[host]\ncore = 2\n", r"\[host\] there is no field 'core' .did you mean 'cores'"),
        (
            "[hosts]\ncores = 2\n",
            r"there is no table 'hosts'; the tables are \[ports\], \[stack\], \[host\], \[pools\]",
        ),
        ("cores = 2\n", r"'cores' is above the first table; move it into one of \[ports\], \[stack\], \[host\], \[po"),
        ("[host\n", "is not valid TOML"),
    ],
)
def test_a_wrong_line_is_named(state: Path, text: str, said: str) -> None:
    (state / "settings.toml").write_text(text)
    with pytest.raises(InvalidRecipe, match=rf"settings.toml.*{said}"):
        host_facts()


def test_free_disk_is_reported_before_the_folder_exists(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(state / "not" / "yet"))
    assert free_disk_bytes() > 0


def test_a_control_groups_limit_is_the_hosts_memory(memory_group: Path) -> None:
    program = "from tasks.host.facts import host_facts; print(host_facts().memory_bytes)"
    command = ["sh", "-c", ENTER, str(memory_group), sys.executable, "-c", program]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert abs(int(told) - GROUP_BYTES) < os.sysconf("SC_PAGE_SIZE")

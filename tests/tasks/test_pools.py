"""Pools are what the settings declare; without a declaration, what this host has."""

from pathlib import Path

import pytest

from tasks import pools
from tasks.contract import Needs
from tasks.errors import InvalidRecipe
from tasks.host.processor import processor
from tasks.pools import Pool, declared_pools, no_place, place

TWO_HOSTS = """
[host]
cores = 64
memory_bytes = 1000
[pools.cpu]
slots = 32
host_slots = 16
memory_bytes = 64_000_000_000
hardware = "AMD EPYC 7543"
[pools.gpu-l4]
slots = 1
queue = "gpu"
device = "cuda"
capability = [8, 9]
memory_bytes = 24_000_000_000
hardware = "NVIDIA L4"
"""


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    return tmp_path / "settings.toml"


def test_without_a_declaration_there_are_this_hosts_cores_and_gpus(settings: Path) -> None:
    settings.write_text("[host]\ncores = 6\ngpus = 2\nmemory_bytes = 5000\n")
    cpu, gpu = declared_pools()
    assert (cpu.name, cpu.queue, cpu.slots, cpu.host_slots, cpu.device) == ("cpu", "cpu", 6, 6, "cpu")
    assert (cpu.memory_bytes, cpu.hardware) == (5000, processor())
    assert (gpu.name, gpu.slots, gpu.device) == ("gpu", 2, "cuda")


def test_a_host_without_gpus_has_no_pool_of_them(settings: Path) -> None:
    settings.write_text("[host]\ncores = 6\ngpus = 0\n")
    assert [pool.name for pool in declared_pools()] == ["cpu"]


def test_declared_pools_say_nothing_of_this_host(settings: Path) -> None:
    settings.write_text(TWO_HOSTS)
    cpu, gpu = declared_pools()
    assert (cpu.slots, cpu.host_slots, cpu.memory_bytes) == (32, 16, 64_000_000_000)
    assert (gpu.queue, gpu.capability, gpu.hardware) == ("gpu", (8, 9), "NVIDIA L4")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[pools]\ncpu = 4\n", r"'cpu' in \[pools\] must be a table; begin it with the line \[pools\.cpu\]"),
        ("[pools.cpu]\n", r"\[pools\.cpu\] .*slots"),
        ("[pools.cpu]\nslots = 0\n", r"\[pools\.cpu\] .*slots"),
        ("[pools.cpu]\nslots = 2\nhost_slots = 4\n", "host_slots is 4, but the whole pool has only 2 slots"),
        ("[pools.cpu]\nslots = 2\nslot = 3\n", r"\[pools\.cpu\] there is no field 'slot' .did you mean 'slots'"),
        ("[pools.cpu]\nslot = 3\n", r"\[pools\.cpu\] 'slots' is missing; there is no field 'slot' .*\)\.$"),
        ("[pools.CPU]\nslots = 3\n", r"\[pools\.CPU\] name: 'CPU' is not the name of a pool: up to 63 lower-"),
        ('[pools.cpu]\nslots = 2\ndevice = "tpu"\n', r"\[pools\.cpu\] device"),
        ("[pools.CPU]\nslots = 2\n", r"\[pools\.CPU\] name"),
        ("pools = 3\n", "'pools' must be a table"),
    ],
)
def test_a_mistake_is_named_with_file_pool_and_field(settings: Path, text: str, named: str) -> None:
    settings.write_text(text)
    with pytest.raises(InvalidRecipe, match=named) as refused:
        declared_pools()
    assert str(settings) in str(refused.value)


@pytest.mark.parametrize(("threads", "slots"), [(1, 1), (6, 6), (12, 8), (None, 16)])
def test_slots_are_those_of_one_host_of_the_pool(settings: Path, threads: int | None, slots: int) -> None:
    """Two tasks that many threads help run side by side on a host; a timing has the host to itself."""
    settings.write_text(TWO_HOSTS)
    assert declared_pools()[0].slots_for(threads) == slots


@pytest.mark.parametrize(("threads", "run"), [(1, 1), (6, 6), (12, 8), (None, 15)])
def test_a_timing_leaves_a_core_to_the_rest_of_the_host(settings: Path, threads: int | None, run: int) -> None:
    """During a release Airflow itself takes more than tasks.host.disturbance.DISTURBED cores."""
    settings.write_text(TWO_HOSTS)
    assert declared_pools()[0].threads_for(threads) == run


def test_one_slot_is_enough_for_every_task() -> None:
    pool = Pool(name="gpu", slots=1, memory_bytes=1, hardware="a GPU")  # type: ignore[call-arg]
    assert {pool.slots_for(threads) for threads in (1, 8, None)} == {1}
    assert {pool.threads_for(threads) for threads in (1, 8, None)} == {1}


def test_a_core_is_left_only_where_slots_are_cores() -> None:
    pool = Pool.model_validate({"name": "gpu", "slots": 4, "device": "cuda", "memory_bytes": 1, "hardware": "a GPU"})
    assert pool.threads_for(None) == 4


def test_more_cores_here_than_slots_in_the_pool_do_not_make_a_task_that_can_never_start(settings: Path) -> None:
    """`[host] cores` is 64, and one host of the pool has 16 of its 32 slots."""
    settings.write_text(TWO_HOSTS)
    for pool in declared_pools():
        assert pool.slots_for(None) <= pool.slots


@pytest.mark.parametrize(
    ("needs", "pool"),
    [
        (Needs(), "cpu"),
        (Needs(device="cuda"), "gpu-l4"),
        (Needs(device="cuda", capability=(8, 9)), "gpu-l4"),
        (Needs(device="cuda", capability=(9, 0)), None),
        (Needs(instructions=("avx512_vnni",)), None),
    ],
)
def test_a_task_has_the_first_pool_that_offers_what_it_needs(settings: Path, needs: Needs, pool: str | None) -> None:
    settings.write_text(TWO_HOSTS)
    found = place(needs, declared_pools())
    assert (found and found.name) == pool


def test_why_no_pool_will_do_is_reported_for_each(settings: Path) -> None:
    settings.write_text(TWO_HOSTS)
    told = no_place(Needs(device="cuda", capability=(9, 0)), declared_pools())
    assert told == (
        "it needs a GPU, but no pool in settings.toml offers it "
        "(cpu: its device is cpu; gpu-l4: it declares compute capability 8.9, below 9.0)"
    )
    assert "does not declare the instructions avx512_vnni" in no_place(
        Needs(instructions=("avx512_vnni",)), pools.declared_pools()
    )


@pytest.mark.parametrize("name", ["release", "default_pool"])
def test_a_pool_that_has_another_use_cannot_be_declared(settings: Path, name: str) -> None:
    settings.write_text(f"[pools.{name}]\nslots = 8\n")
    with pytest.raises(InvalidRecipe, match=rf"\[pools.{name}\]: this name is taken"):
        declared_pools()

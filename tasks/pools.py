"""Pools: groups of hosts with the same hardware, as `settings.toml` declares them.

Example of a pool:

    [pools.gpu-l4]
    slots = 1
    device = "cuda"
    capability = [8, 9]
    memory_bytes = 24_000_000_000
    hardware = "NVIDIA L4"

The pool in Airflow has the same name. Its queue has the same name, too, unless the table has another `queue`. If the
settings declare no pool, there are default pools for this host's cores and for its GPUs. A deployment on several hosts
must declare its pools, because the host that parses the DAGs cannot know the hosts that run the tasks.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from tasks.contract import Device, Needs
from tasks.errors import InvalidRecipe
from tasks.host.facts import host_facts
from tasks.host.proc import nvidia_model
from tasks.host.processor import processor
from tasks.model import Model, explain
from tasks.names import text_like
from tasks.settings import settings_file, settings_table

CPU = "cpu"

NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
"""The names that pools can have."""

REGISTRY_POOL = "release"
"""A pool of one slot, which is not declared: aliases are moved by one task at a time."""


class Pool(Model):
    """A group of hosts with the same hardware.

    slots: how many narrow tasks may run at once on all hosts together; for processors, their number of cores.
    host_slots: the slots of one host. The default is `slots`, for a pool of one host.
    device, capability, instructions: the hardware that the pool offers, in the terms of tasks.contract.Needs.
    memory_bytes: the memory that a task may use: the host's, or the GPU's.
    hardware: the hardware in words (`NVIDIA L4`). Measurements are reused only where this text is the same. A pool of
        GPUs must declare it.
    """

    name: Annotated[str, text_like(NAME, "the name of a pool: up to 63 lower-case letters, digits, '_' and '-'")]
    queue: str
    slots: Annotated[int, Field(ge=1)]
    host_slots: Annotated[int, Field(ge=1)]
    device: Device = "cpu"
    capability: tuple[int, int] | None = None
    instructions: tuple[str, ...] = ()
    memory_bytes: Annotated[int, Field(ge=1)]
    hardware: str

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        # Where `slots` is missing, the message names that alone.
        return {"queue": given.get("name"), "host_slots": given.get("slots", 1), **given}

    @model_validator(mode="after")
    def _agree(self) -> "Pool":
        if self.host_slots > self.slots:
            raise ValueError(f"host_slots is {self.host_slots}, but the whole pool has only {self.slots} slots")
        return self

    def obstacle(self, needs: Needs) -> str | None:
        """Return the reason why a task with these needs cannot run in this pool, or None if it can."""
        if needs.device != self.device:
            return f"its device is {self.device}"
        if needs.capability is not None and (self.capability is None or self.capability < needs.capability):
            has = "none" if self.capability is None else _version(self.capability)
            return f"it declares compute capability {has}, below {_version(needs.capability)}"
        if missing := [name for name in needs.instructions if name not in self.instructions]:
            return f"it does not declare the instructions {', '.join(missing)}"
        return None

    def slots_for(self, threads: int | None) -> int:
        """Return how many slots a task takes in this pool; `threads` as in tasks.contract.TaskDefinition."""
        if threads is None:
            return self.host_slots
        return min(threads, max(1, self.host_slots // 2))

    def threads_for(self, threads: int | None) -> int:
        """Return how many threads a task runs in this pool: one for each slot, but a timing leaves a core free."""
        if threads is None and self.device == "cpu":
            return timing_threads(self.host_slots)
        return self.slots_for(threads)


def timing_threads(cores: int) -> int:
    """Return the threads of a timing on a host.

    If there are several cores, one is left to what never stops, such as Airflow's scheduler. On all cores of a small
    host, threads that wait for each other would lose far more time than it takes; see tasks.host.disturbance.
    """
    return max(1, cores - 1)


def declared_pools() -> tuple[Pool, ...]:
    """Return the pools of the settings, or default ones. Raises InvalidRecipe with the file, the pool and the field."""
    tables, host = settings_table("pools"), host_facts()
    if not tables:
        tables[CPU] = {"slots": host.cores}
        if host.gpus:
            tables["gpu"] = {"slots": host.gpus, "device": "cuda", "hardware": nvidia_model()}
    found = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InvalidRecipe(
                f"{settings_file()}: {name!r} in [pools] must be a table; begin it with the line [pools.{name}]."
            )
        if name in (REGISTRY_POOL, "default_pool"):
            raise InvalidRecipe(f"{settings_file()}: [pools.{name}]: this name is taken; choose another name.")
        # Defaults, for a pool whose hosts are like this one. Nobody can guess which GPU another host has.
        here: dict[str, Any] = {"memory_bytes": host.memory_bytes}
        if table.get("device", "cpu") == "cpu":
            here["hardware"] = processor()
        try:
            found.append(Pool.model_validate({**here, **table, "name": name}))
        except ValidationError as error:
            raise InvalidRecipe(f"{settings_file()}: [pools.{name}] {explain(error, Pool)}.") from error
    return tuple(found)


def place(needs: Needs, pools: Sequence[Pool]) -> Pool | None:
    """Return the first pool that offers the needed hardware, or None if there is none."""
    return next((pool for pool in pools if pool.obstacle(needs) is None), None)


def no_place(needs: Needs, pools: Sequence[Pool]) -> str:
    """Return the reason why no pool offers the needed hardware, as a clause without a full stop."""
    what = "a GPU" if needs.device == "cuda" else "a processor"
    tried = "; ".join(f"{pool.name}: {pool.obstacle(needs)}" for pool in pools)
    return f"it needs {what}, but no pool in settings.toml offers it ({tried})"


def _version(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"

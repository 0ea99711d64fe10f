"""Pools: the hardware that the settings declare, what a task needs of it, and how many slots it takes.

A pool is declared by a table in `settings.toml`:

    [pools.gpu-l4]
    slots = 1
    device = "cuda"
    capability = [8, 9]
    memory_bytes = 24_000_000_000
    hardware = "NVIDIA L4"

Its name is that of the pool in Airflow; its queue has the same name unless the table says otherwise. Where no pool is
declared, there is one of this host's cores, and one of its GPUs. A deployment on several hosts declares its pools: the
host that parses the DAGs says nothing about the hosts that run the tasks.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from tasks.contract import Device, Needs, Width
from tasks.errors import InvalidRecipe
from tasks.host.facts import host_facts
from tasks.host.processor import processor
from tasks.model import Model, explain
from tasks.settings import settings_file, settings_table

CPU = "cpu"

REGISTRY_POOL = "release"
"""A pool of one slot, which is not declared: aliases are moved by one task at a time."""


class Pool(Model):
    """Hosts of one kind.

    slots: how many narrow tasks run at once, on all hosts together; of a processor's pool: its cores.
    host_slots: the slots of one host; all of them, where the pool is one host.
    memory_bytes: what a task may hold: the host's memory, or the GPU's.
    hardware: what a timing depends on, in words (`NVIDIA L4`).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
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
        return {"queue": given.get("name"), "host_slots": given.get("slots"), **given}

    @model_validator(mode="after")
    def _agree(self) -> "Pool":
        if self.host_slots > self.slots:
            raise ValueError(f"host_slots is {self.host_slots}, and the whole pool has {self.slots} slots")
        return self

    def obstacle(self, needs: Needs) -> str | None:
        """Return why a task with these needs cannot run here, or None where it can."""
        if needs.device != self.device:
            return f"its device is {self.device}"
        if needs.capability is not None and (self.capability is None or self.capability < needs.capability):
            has = "none" if self.capability is None else _version(self.capability)
            return f"it declares compute capability {has}, below {_version(needs.capability)}"
        if missing := [name for name in needs.instructions if name not in self.instructions]:
            return f"it does not declare the instructions {', '.join(missing)}"
        return None

    def slots_for(self, width: Width) -> int:
        """Return the slots that a task takes here: one, half of a host's so that two run side by side, or a host's."""
        return {"narrow": 1, "wide": max(1, self.host_slots // 2), "whole": self.host_slots}[width]


def declared_pools() -> tuple[Pool, ...]:
    """Return the pools of the settings, or this host's; raises InvalidRecipe naming the file, pool and field."""
    tables, host = settings_table("pools"), host_facts()
    if not tables:
        tables[CPU] = {"slots": host.cores}
        if host.gpus:
            tables["gpu"] = {"slots": host.gpus, "device": "cuda"}
    found = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InvalidRecipe(
                f"{settings_file()}: {name!r} in [pools] must be a table, begun by the line [pools.{name}]."
            )
        # A pool that says neither is of hosts like this one.
        here = {"memory_bytes": host.memory_bytes, "hardware": processor()}
        try:
            found.append(Pool.model_validate({**here, **table, "name": name}))
        except ValidationError as error:
            raise InvalidRecipe(f"{settings_file()}: [pools.{name}] {explain(error)}.") from error
    return tuple(found)


def place(needs: Needs, pools: Sequence[Pool]) -> Pool | None:
    """Return the first pool that offers what a task needs, or None."""
    return next((pool for pool in pools if pool.obstacle(needs) is None), None)


def no_place(needs: Needs, pools: Sequence[Pool]) -> str:
    """Return why no pool offers what a task needs; a clause without its full stop."""
    what = "a GPU" if needs.device == "cuda" else "a processor"
    tried = "; ".join(f"{pool.name}: {pool.obstacle(needs)}" for pool in pools)
    return f"it needs {what}, and no pool of settings.toml offers that ({tried})"


def _version(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"

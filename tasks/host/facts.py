"""What this host has: detected, and overridden by the table `[host]` of the settings.

The table may hold `cores`, `memory_bytes`, `gpus`, `cache_bytes` and `timing_wait_seconds`.
"""

import os
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from tasks.errors import InvalidRecipe
from tasks.host.control_group import core_limits, memory_limits
from tasks.host.proc import nvidia_gpus
from tasks.model import Model, explain
from tasks.settings import home, settings_file, settings_table

LARGE_CACHE_BYTES = 200 * 1024**3
"""The worker cache's limit on a large disk: room for what is made of several models of 7 B parameters. What tasks make
is planned with the disk that the cache leaves free. `preflight` says if a larger model needs a larger cache."""

WAIT_SECONDS = 15.0
"""What disturbances may cost one benchmark. A gate of the same run, which takes no slot of a pool, is over after one or
two seconds. On a host with long other work, no wait of minutes helps; a release has a dozen timings, and no other task
of a pool starts meanwhile."""


class HostFacts(Model):
    """What this host offers: processor cores, memory in bytes, GPUs, and bytes that the worker cache may fill.

    timing_wait_seconds: for so long a timing waits for the host to be quiet, and is repeated if it was disturbed.
    """

    cores: Annotated[int, Field(ge=1)]
    memory_bytes: Annotated[int, Field(ge=1)]
    gpus: Annotated[int, Field(ge=0)]
    cache_bytes: Annotated[int, Field(ge=1)]
    timing_wait_seconds: Annotated[float, Field(ge=0)] = WAIT_SECONDS


def host_facts() -> HostFacts:
    """Return the detected facts, or what the settings file says instead; raises InvalidRecipe naming the field."""
    try:
        return HostFacts.model_validate({**_detected(), **settings_table("host")})
    except ValidationError as error:
        raise InvalidRecipe(f"{settings_file()}: [host] {explain(error, HostFacts)}.") from error


def free_disk_bytes(folder: Path | None = None) -> int:
    """Return the free bytes on the disk of a folder, which may not be there yet; without one, of the state folder."""
    return shutil.disk_usage(_existing(folder or home())).free


def same_disk(one: Path, other: Path) -> bool:
    """Return whether two paths, which may not be there yet, are on the same disk."""
    return _existing(one).stat().st_dev == _existing(other).stat().st_dev


def disk_root(path: Path) -> Path:
    """Return the folder at which the disk of a path, which may not be there yet, is mounted."""
    folder = _existing(path)
    while folder != folder.parent and same_disk(folder, folder.parent):
        folder = folder.parent
    return folder


def _detected() -> dict[str, int]:
    return {
        "cores": max(1, min(len(os.sched_getaffinity(0)), _whole_cores())),
        "memory_bytes": _memory_limit(),
        "gpus": nvidia_gpus(),
        # What a task makes, and what it sends to a store on the same disk, lies beside the cache.
        "cache_bytes": min(LARGE_CACHE_BYTES, shutil.disk_usage(_existing(home())).total // 2),
    }


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder


@cache
def _whole_cores() -> int:
    """The whole cores of the lowest quota of a control group this process is in; very many without a quota.

    The part of a core that a quota may end with is left out: a thread on it would be throttled in every period.
    """
    return int(min([sys.maxsize, *core_limits()]))


@cache
def _memory_limit() -> int:
    """The machine's memory, or the limit of a control group this process is in where that is lower."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *memory_limits()])

"""The parameters of the plan; light, because they are read when a DAG is parsed."""

from typing import Annotated

from pydantic import Field

from tasks.formats.base import Target
from tasks.model import Model


class PreflightParameters(Model):
    """What might be made, what was asked for, and what there is to make it with.

    targets: the recipe's targets and their bases, each base before what is made from it.
    chosen: names of the targets asked for; all, where empty.
    memory_bytes, disk_bytes, gpus: what the host that makes them offers.
    dry_run: the release ends with the plan.
    """

    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    chosen: tuple[str, ...] = ()
    memory_bytes: Annotated[int, Field(ge=0)]
    disk_bytes: Annotated[int, Field(ge=0)]
    gpus: Annotated[int, Field(ge=0)] = 0
    dry_run: bool = False

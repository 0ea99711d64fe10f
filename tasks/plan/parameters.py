"""The parameters of the plan; light, because they are read when a DAG is parsed."""

from typing import Annotated

from pydantic import Field

from tasks.formats.base import Target
from tasks.model import Model
from tasks.pools import Pool


class PreflightParameters(Model):
    """What might be made, what was asked for, and what there is to make it with.

    targets: the recipe's targets and their bases, each base before what is made from it.
    chosen: names of the targets asked for; all, where empty.
    pools: the hardware that there is.
    disk_bytes: the free disk of the host that makes them.
    dry_run: the release ends with the plan.
    """

    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    chosen: tuple[str, ...] = ()
    pools: Annotated[tuple[Pool, ...], Field(min_length=1)]
    disk_bytes: Annotated[int, Field(ge=0)]
    dry_run: bool = False

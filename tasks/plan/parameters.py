"""The parameters of the task preflight. DAG parsing imports this module, so it is kept light."""

from typing import Annotated

from pydantic import Field

from tasks.evaluation.parameters import EvaluationSettings
from tasks.formats.base import Target
from tasks.model import Model
from tasks.pools import Pool


class PreflightParameters(Model):
    """The parameters of the task preflight.

    targets: the recipe's targets and their bases; each base comes before the targets that are made from it.
    chosen: names of the targets to release; empty for all.
    pools: the hardware that is available.
    text_bytes: the size of the evaluation text's file.
    disk_bytes: the free disk space of the host that makes the targets.
    cache_bytes: the limit of its worker cache; None if that is not known.
    evaluation: how much text the source and every target are run on.
    gates: lines for the log that say which gates bind the targets.
    dry_run: whether the release ends after the plan.
    """

    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    chosen: tuple[str, ...] = ()
    pools: Annotated[tuple[Pool, ...], Field(min_length=1)]
    disk_bytes: Annotated[int, Field(ge=0)]
    cache_bytes: Annotated[int, Field(ge=1)] | None = None
    text_bytes: Annotated[int, Field(ge=0)]
    evaluation: EvaluationSettings = EvaluationSettings()
    gates: tuple[str, ...] = ()
    dry_run: bool = False

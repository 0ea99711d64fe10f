"""The task preflight: the plan of a release, and a question to MLflow, where the release will end.

The hours between both tasks are lost if MLflow's address is wrong, so it is asked before they begin.
"""

from collections.abc import Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.plan.parameters import PreflightParameters
from tasks.plan.preflight import preflight as plan
from tasks.release.registry import open_registry


def preflight(parameters: PreflightParameters, context: TaskContext) -> Mapping[str, Any]:
    """Return the facts of `tasks.plan.preflight.preflight`, once MLflow has answered; a dry run asks it, too.

    The plan comes first, because its log helps also where MLflow does not answer. Raises what both of them raise.
    """
    facts = plan(parameters, context)
    open_registry().check()
    return facts

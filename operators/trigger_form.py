"""The trigger's form: what may be asked of a release, with a schema that refuses nonsense."""

from collections.abc import Iterable
from typing import Any

from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException

from tasks.hub_name import REPOSITORY_PATTERN
from tasks.names import did_you_mean
from tasks.recipe import Recipe

# Airflow's server reads it as Python does, whose `$` lets a line end follow, and its form as JavaScript does.
REVISION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,254}$(?!\n)"

ADDED_BY_AIRFLOW = frozenset({"openlineage"})
"""Parameters that nobody chooses: Airflow adds this one to a run that another DAG triggers, where OpenLineage is on."""


def release_form(recipe: Recipe) -> dict[str, Param]:
    """Return the parameters of a recipe's DAG, each with its description, default and schema."""
    names = recipe.target_names
    # Without a default the form demands an entry.
    models: dict[str, Any] = {"default": recipe.models[0], "examples": list(recipe.models)} if recipe.models else {}
    return {
        "model": Param(
            **models,
            type="string",
            pattern=REPOSITORY_PATTERN,
            title="Model",
            description="The Hub repository to release: owner/name.",
        ),
        "revision": Param(
            "main",
            type="string",
            pattern=REVISION_PATTERN,
            title="Revision",
            description="A branch, tag or commit. It is resolved once, and that commit is released.",
        ),
        "targets": Param(
            names,
            type="array",
            items={"type": "string", "enum": names},
            examples=names,
            minItems=1,
            uniqueItems=True,
            title="Targets",
            description="What to make. What a target is made from is made as well, and judged if the recipe lists it.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="End with the plan, in the log of preflight: what would be made, how large, by which gates.",
        ),
        "force": Param(
            False,
            type="boolean",
            title="Force",
            description="Make everything anew, also what the store already has.",
        ),
    }


def check_names(given: Iterable[str], recipe: Recipe) -> None:
    """Raise AirflowFailException for a parameter of a run that the form does not have.

    Airflow itself takes any name, so a misspelt `dry_run` would start a whole release.
    """
    known = release_form(recipe)
    for name in given:
        if name not in known and name not in ADDED_BY_AIRFLOW:
            raise AirflowFailException(
                f"The run has the parameter {name!r}, which the DAG does not have{did_you_mean(name, known)}; "
                "trigger a new run without it."
            )

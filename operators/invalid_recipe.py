"""The DAG of a recipe that cannot be used: it says why, and leaves the other recipes' DAGs alone."""

import re
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException

ID_CHARACTERS = 200
"""Airflow takes ids of up to 250 characters; a file's name may be longer with the prefix."""


def invalid_dag(name: str, reason: str) -> DAG:
    """Return a DAG in the place of `release_<name>` whose page shows the reason and whose only task fails with it.

    The mistake may be in the recipe, or in settings.toml, which all recipes need; the reason names the file.
    """
    # A valid recipe's name has no hyphen, so the id of another recipe's DAG is never taken.
    known = re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:ID_CHARACTERS]
    with DAG(
        dag_id=f"release_{known}",
        description=f"Cannot run: {reason}",
        doc_md=f"This DAG cannot run:\n\n```\n{reason}\n```\n",
        schedule=None,
        tags=["hallmark", "invalid"],
    ) as dag:

        @task
        def invalid_recipe(**context: Any) -> None:
            # `make demo` shows it, as it shows the failure of a release's last task.
            context["ti"].xcom_push("failure", reason)
            raise AirflowFailException(reason)

        invalid_recipe()
    return dag

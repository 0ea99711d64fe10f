"""Adds a button to the page of the task `report` in Airflow. It opens the release's run, with the report, in MLflow."""

from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink

from operators.credentials import registry_environment
from operators.model_task import ModelTask
from operators.results import pulled


class ReleaseLink(BaseOperatorLink):
    """The run in MLflow; the report is among its artifacts."""

    @property
    def name(self) -> str:
        """What the button says."""
        return "Release in MLflow"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address, empty where no release was reported; Airflow asks when the task has ended."""
        return operator.page if isinstance(operator, ReportTask) else ""


class ReportTask(ModelTask):
    """A ModelTask with a link to the release in MLflow."""

    operator_extra_links = (ReleaseLink(),)
    page: str = ""

    def conclude(self, told: dict[str, Any], context: Any) -> None:
        """Keep the address of the release's run; a release without a run in MLflow has none."""
        run = pulled(context, "register")["facts"]["mlflow_run"]
        address = registry_environment().get("MLFLOW_TRACKING_URI")
        if run and address:
            self.page = f"{address}/#/runs/{run}"
            # Airflow hides links in a task's details; in the log they can be clicked.
            self.log.info("The release in MLflow: %s", self.page)

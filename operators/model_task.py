"""The operator that runs one task of a release.

It asks the store whether the task's work is already done. If it is not, the operator runs the task as a job in its
runtime, and reports the job's result or failure to Airflow.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, AirflowTaskTimeout

from operators.credentials import enter_store, task_environment
from operators.job_cleanup import sweep_jobs
from operators.job_runner import JobRunner
from operators.local_job import LocalJob
from operators.results import MADE_FROM, Results, maybe_pulled, pulled
from tasks.contract import Failure, Result, Spec
from tasks.errors import HallmarkError, TerminalError
from tasks.execution import Work, finished, prepare
from tasks.formats.base import Prediction
from tasks.host.shortage import disk_full_by, is_disk_full
from tasks.model import digest_of
from tasks.runtimes import runtime
from tasks.settings import home
from tasks.store.open import open_store

Parameters = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Makes a task's parameters from Airflow's context: JSON, without secrets."""

TIME = re.compile(r"^\d\d:\d\d:\d\d ")
"""The time at the start of a task's log line. It is removed, because Airflow adds the time itself."""

PREFLIGHT = "preflight"
"""The task whose facts say which targets are made, and the reason for each one that is not."""

RECIPE_CHANGED = "the recipe has changed since this run began; trigger a new run"
"""Why a target of the recipe that the plan lacks is not made."""


class ModelTask(BaseOperator):
    """Run `tasks.<task>`; its XCom is the artifact's key, small facts, the cost, and from which results it was made.

    parameters: the task's parameters, or a function of the context that returns them.
    inputs: input name to the task id whose artifact it is.
    optional_inputs: the same of inputs that may be missing. A result that no longer holds (see operators/results.py)
        counts as missing.
    planned_target: the target this belongs to; if preflight does not make it, or it was a dry run, the task is skipped
        and says why.
    proof: which of the target's proofs this belongs to, for a task that measures or judges it; if the proof has no
        place, the task is skipped, too.
    slots: pool slots it takes.
    threads: the threads it runs.
    hardware: what its pool declares, for a timing.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#e8eef7"

    def __init__(
        self,
        *,
        task: str,
        parameters: Parameters | Mapping[str, Any],
        inputs: Mapping[str, str] | None = None,
        optional_inputs: Mapping[str, str] | None = None,
        planned_target: str | None = None,
        proof: int | None = None,
        slots: int = 1,
        threads: int = 1,
        hardware: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_slots=slots, **kwargs)
        self.task = task
        self.parameters = parameters
        self.inputs = dict(inputs or {})
        self.optional_inputs = dict(optional_inputs or {})
        self.planned_target = planned_target
        self.proof = proof
        self.threads = threads
        self.hardware = hardware
        self._job: JobRunner | None = None
        self._given: dict[str, str] = {}

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the task; raises AirflowSkipException, AirflowFailException (no retry) or AirflowException (retry)."""
        try:
            self._skip_unless_planned(context)
            result = self._result_or_failure(context)
        except AirflowSkipException as skip:
            # Airflow writes the reason into a field that its page of the log does not show.
            self.log.info("Skipped: %s", skip)
            raise
        except AirflowFailException as failure:
            # The last line of the run gives it as the reason.
            context["ti"].xcom_push("failure", str(failure))
            raise
        if result.failure:
            # What follows tells it on: the report, and the run's last line.
            context["ti"].xcom_push("failure", result.failure.message)
            kind = AirflowException if result.failure.kind == "transient" else AirflowFailException
            raise kind(result.failure.message)
        told = result.model_dump(mode="json", exclude={"failure"})
        named = self.inputs | self.optional_inputs
        told[MADE_FROM] = {task_id: self._given.get(name) for name, task_id in named.items()}
        self.conclude(told, context)
        return told

    def conclude(self, told: dict[str, Any], context: Any) -> None:
        """Check the result of a finished task; a subclass may raise."""

    def on_kill(self) -> None:
        """End the job when the task is cleared, marked or timed out; a job that another run waits for goes on."""
        if self._job and not self._job.kill():
            self.log.info("The job %s goes on: another run waits for it, too.", self._job)

    def _result_or_failure(self, context: Any) -> Result:
        try:
            return self._result(context)
        except HallmarkError as error:
            return Result(failure=Failure.of(error))
        except AirflowTaskTimeout:
            # Airflow itself would retry it. Most tasks would begin their work again, with the same limit.
            self.on_kill()
            return Result(failure=Failure.of(self._too_long()))
        except OSError as error:
            if not is_disk_full(error):
                raise
            return Result(failure=Failure.of(disk_full_by(error, "the job's folder")))

    def _too_long(self) -> TerminalError:
        assert self.execution_timeout is not None
        kept = ", and what it downloaded is kept" if self.task == "fetch" else ""
        return TerminalError(
            f"The task took longer than {self.execution_timeout.total_seconds() / 3600:g} h, its limit{kept}; raise "
            "'timeout_hours' in the recipe (of housekeeping: 'execution_timeout' in its DAG), and trigger a new run."
        )

    def _result(self, context: Any) -> Result:
        # It logs for every task that there are credentials and an address.
        logging.getLogger("botocore").setLevel(logging.WARNING)
        store_access = enter_store()
        store = open_store()
        spec = self._spec(context)
        work = prepare(spec, store)
        if result := finished(work, store):
            self.log.info("Already made: %s", result.artifact)
            return result
        environment = task_environment(work.definition, spec.threads, store_access)
        sweep_jobs(home() / "jobs")
        folder = home() / "jobs" / self._job_name(work, context)
        self._job = LocalJob(folder, self._prediction(context))
        attached = self._job.submit(runtime(work.definition.runtime).python, spec, environment)
        self.log.info(
            "%s in runtime %s, job %s", "Attached" if attached else "Started", work.definition.runtime, folder
        )
        # The lines of a job that this task attached to keep the time at which they were written.
        return self._job.wait(self.log.info if attached else self._tell)

    def _prediction(self, context: Any) -> Prediction | None:
        """Return what preflight predicts of a conversion or of the reference; it predicts nothing of other tasks."""
        if self.task == "convert" and self.planned_target is not None:
            plan = pulled(context, PREFLIGHT)["facts"]["targets"][self.planned_target]
        elif self.task == "reference":
            plan = (maybe_pulled(context, PREFLIGHT) or {"facts": {}})["facts"].get("reference")
        else:
            plan = None
        return plan and Prediction.model_validate({name: plan[name] for name in Prediction.model_fields})

    def _tell(self, line: str) -> None:
        self.log.info("%s", TIME.sub("", line))

    def _spec(self, context: Any) -> Spec:
        parameters = self.parameters(context) if callable(self.parameters) else dict(self.parameters)
        inputs = {name: pulled(context, task_id)["artifact"] for name, task_id in self.inputs.items()}
        results = Results(context)
        for name, task_id in self.optional_inputs.items():
            if key := results.artifact(task_id):
                inputs[name] = key
        self._given = inputs
        force = bool(context["params"].get("force"))
        return Spec(
            task=self.task,
            parameters=parameters,
            inputs=inputs,
            threads=self.threads,
            hardware=self.hardware,
            force=force,
            forced_by=context["run_id"] if force else "",
        )

    def _job_name(self, work: Work, context: Any) -> str:
        """Return a name by which a second run that asks for the same attaches to the job; one of this run if the key is
        not reused.
        """
        if work.definition.keyed and not work.spec.force:
            # A parameter outside the key may decide whether the job fails.
            return digest_of([work.key, work.spec.parameters])
        return digest_of([work.key, context["run_id"], self.task_id])

    def _skip_unless_planned(self, context: Any) -> None:
        if self.planned_target is None:
            return
        plan = pulled(context, PREFLIGHT)["facts"]["targets"].get(self.planned_target)
        if plan is None:
            raise AirflowSkipException(f"{self.planned_target} is not made: {RECIPE_CHANGED}.")
        if not plan["made"]:
            raise AirflowSkipException(f"{self.planned_target} is not made: {plan['reason']}")
        if context["params"]["dry_run"]:
            raise AirflowSkipException(f"{self.planned_target} would be made; a dry run ends with the plan.")
        if self.proof is None:
            return
        if self.proof >= len(plan["proofs"]):
            raise AirflowSkipException(f"{self.planned_target} is not measured in {self.pool}: {RECIPE_CHANGED}.")
        proof = plan["proofs"][self.proof]
        if proof["obstacle"]:
            raise AirflowSkipException(f"{self.planned_target} is unproven: {proof['obstacle']}.")
        if self.hardware and proof["pool"] != self.pool:
            raise AirflowFailException(
                f"The plan measures {self.planned_target} in the pool {proof['pool']}, but this task runs in "
                f"{self.pool}: settings.toml or the recipe has changed since the run began, or they differ between "
                "hosts. Trigger a new run."
            )


class GateTask(ModelTask):
    """A ModelTask that fails if the verdict blocks the artifact. The verdict is stored before."""

    def conclude(self, told: dict[str, Any], context: Any) -> None:
        """Raise AirflowFailException with the verdict's reason in one line."""
        facts = told["facts"]
        if not facts["passed"]:
            # A failed task returns nothing, but the verdict is there and the next tasks need its key.
            context["ti"].xcom_push("return_value", told)
            raise AirflowFailException(f"BLOCKED {facts['target']}: {facts['reason']}")

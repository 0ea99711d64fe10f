"""`make demo`: starts the stack, triggers a release over Airflow's REST API, and shows how it ends."""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from deploy.local import stack
from deploy.local.__main__ import addresses
from deploy.local.airflow_api import AirflowApi, AirflowUnavailable
from deploy.local.private import write_private
from deploy.local.progress import Progress
from deploy.local.settings import hub_of, stack_paths
from tasks.engines.mlmodel import EXAMPLE_PROMPT
from tasks.errors import HallmarkError, InvalidRecipe
from tasks.formats.registry import load_format
from tasks.hub_name import is_repository
from tasks.names import did_you_mean
from tasks.recipe import load_recipe
from tasks.release.record import Release, read_release
from tasks.release.table import release_table
from tasks.retry import Retry
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tasks.store.base import Store
from tasks.store.open import open_store

DEMO_MODEL = "hallmark/tiny-tales"
EXAMPLE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
LOOK_SECONDS = 1.0
PAUSES = (1.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds between the tries to ask Airflow about a run, which goes on meanwhile. Each try may wait for a minute."""

RECIPES = REPOSITORY / "dags" / "recipes"

Answer = TypeVar("Answer")


def main() -> int:
    """Release a model; return 0 only if the run ended as its recipe demands."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.demo", description=__doc__)
    parser.add_argument("model", nargs="?", default=DEMO_MODEL, help="a Hub repository, owner/name")
    parser.add_argument("--recipe", help="the recipe; demo for the demo model, standard for any other")
    options = parser.parse_args()
    recipe = options.recipe or ("demo" if options.model == DEMO_MODEL else "standard")
    try:
        # A mistake is reported at once, and not by a failed run a minute later.
        check_model(options.model)
        check_recipe(recipe)
        return _release(options.model, f"release_{recipe}")
    except HallmarkError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("The run continues in Airflow; `make down` stops it.", file=sys.stderr)
        return 130


def check_model(name: str) -> None:
    """Raise InvalidRecipe for a name that no model can have. For an address on the Hub, the message has the name."""
    if is_repository(name):
        return
    meant = "/".join(name.partition("huggingface.co/")[2].split("/")[:2])
    raise InvalidRecipe(
        f"{name!r} is not the name of a model; write it as the Hub does, owner/name: "
        f"make demo MODEL={meant if is_repository(meant) else EXAMPLE_MODEL}"
    )


def check_recipe(name: str) -> None:
    """Raise InvalidRecipe where there is no recipe of that name, or where it has a mistake."""
    names = sorted(path.stem for path in RECIPES.glob("[!.]*.yaml"))
    if name not in names:
        raise InvalidRecipe(f"There is no recipe {name!r} in dags/recipes{did_you_mean(name, names)}.")
    load_recipe(RECIPES / f"{name}.yaml")


def _release(model: str, dag_id: str) -> int:
    # Without soft_wrap, rich would fold the table at 80 columns where the output is not a terminal.
    console = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    stack.up(hub_of(model), console.print)
    console.print(f"The stack is up ({time.monotonic() - began:.0f} s).\n{addresses()}\n")
    with stack.airflow_api() as airflow:
        airflow.wait_for_dag(dag_id)
        run = airflow.trigger(dag_id, {"model": model})
        console.print(f"Releasing {model} by {dag_id}, run {run}")
        page = f"{airflow.address}/dags/{dag_id}/runs/{run}"
        try:
            succeeded = _watch(airflow, dag_id, run, console)
            _conclude(airflow, dag_id, run, console)
        except AirflowUnavailable as error:
            raise AirflowUnavailable(f"{error} The run may still go on: {page}") from error
    console.print(f"The run: {page}", markup=False)
    console.print(f"The release took {time.monotonic() - began:.0f} s.")
    return 0 if succeeded else 1


def _watch(airflow: AirflowApi, dag_id: str, run: str, console: Console) -> bool:
    with Progress(console) as progress:
        while True:
            state = _asked(lambda: airflow.dag_run(dag_id, run), console)
            progress.show(_asked(lambda: airflow.task_instances(dag_id, run), console))
            if state.finished:
                return state.state == "success"
            time.sleep(LOOK_SECONDS)


def _asked(ask: Callable[[], Answer], console: Console) -> Answer:
    """Return Airflow's answer; after AirflowUnavailable it is asked again, with PAUSES."""
    retry = Retry(PAUSES, lambda line: console.print(line, markup=False))
    while True:
        try:
            return ask()
        except AirflowUnavailable as error:
            retry.failed(error)


def _conclude(airflow: AirflowApi, dag_id: str, run: str, console: Console) -> None:
    def told(task: str, key: str = "return_value") -> Any:
        return _asked(lambda: airflow.xcom(dag_id, run, task, key), console)

    registered = told("register")
    if registered:
        os.environ.update(stack.environment())
        store = open_store()
        release = read_release(store, registered["facts"]["release"])
        console.print("\n" + release_table(release), markup=False)
        _tell_where(told("report"), store, release, console)
    failures = (told(task, "failure") for task in ("conclude", "invalid_recipe"))
    if failure := next(filter(None, failures), None):
        console.print(f"FAILED: {failure}", markup=False)
    elif concluded := told("conclude"):
        console.print(f"OK: {concluded['facts']['conclusion']}", markup=False)


def _tell_where(reported: Any, store: Store, release: Release, console: Console) -> None:
    if reported:
        report = stack_paths().root / "report.html"
        write_private(report, store.get_bytes(reported["facts"]["report"]).decode())
        console.print(f"The report: {report}", markup=False)
    loadable = next((target for target in release.passed if consumer_runs(target.format)), None)
    if loadable is not None:
        python, here = runtime("consumer").python, Path.cwd()
        uri = f"models:/{loadable.registered_name}@champion"
        console.print(
            "To load a champion:\n"
            '  eval "$(make --silent env)"\n'
            f"  {python.relative_to(here) if python.is_relative_to(here) else python}\n"
            "  >>> import mlflow\n"
            f'  >>> model = mlflow.pyfunc.load_model("{uri}")\n'
            f'  >>> model.predict([{{"prompt": "{EXAMPLE_PROMPT}"}}])["text"][0]',
            markup=False,
        )


def consumer_runs(format: str) -> bool:
    """Return whether the environment `consumer` has all that the format's engine requires."""
    folder = runtime("consumer").python.parent.parent
    packages = [str(found) for found in folder.glob("lib/python3*/site-packages")]
    installed = {_canonical(found.name) for found in distributions(path=packages)}
    required = load_format(format).engines[0].requirements
    return bool(required) and all(_canonical(re.split(r"[^\w.-]", line)[0]) in installed for line in required)


def _canonical(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


if __name__ == "__main__":
    sys.exit(main())

"""What a watcher compares: a model's commit on the Hub, and the one that was released last."""

import os

from operators.access import store_environment, task_environment
from operators.local_runner import LocalJob
from tasks.contract import Spec
from tasks.definitions import find_definition
from tasks.errors import HubUnavailable, TerminalError
from tasks.model import digest_of
from tasks.recipe import Recipe
from tasks.release.current import last_released_commit
from tasks.runtimes import runtime
from tasks.settings import home
from tasks.store.open import open_store


def commit_of(recipe: Recipe, model: str) -> str:
    """Return the commit of the model's branch `main`, by the task `pin` and the recipe's policy.

    Raises HubUnavailable where a retry may help and TerminalError where the recipe or the repository has to change.
    """
    parameters = {
        "repository": model,
        "licences": list(recipe.licences),
        "code": [allowed.model_dump() for allowed in recipe.code],
        "pickles": recipe.pickles,
    }
    spec = Spec(task="pin", parameters=parameters)
    definition = find_definition(spec.task, parameters)
    job = LocalJob(home() / "jobs" / digest_of(["watch", spec.model_dump(mode="json"), os.getpid()]))
    job.attach_or_start(runtime(definition.runtime).python, spec, task_environment(definition, 1, store_environment()))
    result = job.wait(print)
    if result.failure:
        raise (HubUnavailable if result.failure.kind == "transient" else TerminalError)(result.failure.message)
    return str(result.facts["commit"])


def released_commit(recipe: Recipe, model: str) -> str | None:
    """Return the commit of the last promoted release of a model by this recipe, or None."""
    os.environ.update(store_environment())
    return last_released_commit(open_store(), model, recipe.name)

"""What a release needs of the MLflow server: registered models, versions, aliases, and one run per release."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.errors import InvalidRecipe, NotFound, TerminalError
from tasks.release.registry_errors import ADDRESS, registry_errors
from tasks.secrets import plain_address

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

TAG = "hallmark."
"""The prefix of our tags. Tags that people set have other names."""

RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"

CLIENT_SETTINGS = {
    # The task reports an unreachable server within seconds. Airflow decides whether to retry later.
    RETRIES: "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Standard output is the task's result.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

METRICS_PER_CALL = 1000
"""MLflow's limit for one batch."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model, as MLflow knows it. Anybody who may write to MLflow can set these fields.

    source: the address from which MLflow loads it.
    release_id: the tag that names the release that registered it.
    manifest: the tag with the address of its artifact's manifest.
    tags: all of our tags, without the prefix.
    """

    name: str
    version: str
    source: str
    release_id: str
    manifest: str
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""

    def is_made_by(self, release_id: str, recipe: str) -> bool:
        """Return whether the release registered it. Releases of two recipes may have one id: people choose run ids."""
        return (self.release_id, self.tags.get("recipe")) == (release_id, recipe)


IsOurs = Callable[[RegisteredVersion], bool]
"""Returns whether a registered version is an artifact of the store that can still be loaded."""


def open_registry() -> "Registry":
    """Return the registry at $MLFLOW_TRACKING_URI; raises InvalidRecipe where that is not the address of a server."""
    address = os.environ.get("MLFLOW_TRACKING_URI")
    if not address:
        raise InvalidRecipe(
            "No MLflow server is configured: set the Airflow connection 'hallmark_mlflow', "
            "or MLFLOW_TRACKING_URI for a task run by hand."
        )
    plain_address(address, "MLFLOW_TRACKING_URI", "in the connection 'hallmark_mlflow' as login and password")
    _check_address(address)
    for name, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return Registry(MlflowClient(tracking_uri=address, registry_uri=address), address)


def _check_address(address: str) -> None:
    # MLflow's client would take a folder or a database for its store, and raises errors of many kinds for others.
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidRecipe(
            f"MLFLOW_TRACKING_URI is {address!r}, which is not an address such as https://host or http://host:port; "
            f"correct {ADDRESS}."
        )


class Registry:
    """MLflow's client with this product's errors. Every method may raise RegistryUnavailable or AccessDenied."""

    def __init__(self, client: "MlflowClient", address: str) -> None:
        self._client = client
        self._address = address
        self._answered = False

    def check(self) -> None:
        """Ask the server for its registered models, so that a wrong address is found before work depends on it."""
        with self._errors("its registered models"):
            self._client.search_registered_models(max_results=1)

    def ensure_model(self, name: str, description: str) -> None:
        """Create the registered model unless there is one; raises InvalidRecipe for a name that MLflow refuses."""
        with self._errors(f"the registered model {name!r}"):
            if self._model_or_none(name) is None:
                self._client.create_registered_model(name, description=description)

    def find_version(self, name: str, files_digest: str, is_ours: IsOurs) -> RegisteredVersion | None:
        """Return the oldest version with these files, byte for byte, that is ours and still has them; or None."""
        with self._errors(f"the registered model {name!r}"):
            found = self._client.search_model_versions(
                f"name = '{_quoted(name)}' and tags.`{TAG}files_digest` = '{files_digest}'"
            )
        known = map(_registered, sorted(found, key=lambda version: int(version.version)))
        return next((version for version in known if is_ours(version)), None)

    def create_version(
        self, name: str, source: str, run_id: str, tags: Mapping[str, str], description: str, is_ours: IsOurs
    ) -> RegisteredVersion:
        """Register the files at `source` as a new version; nothing is copied.

        The tags `files_digest`, `release` and `manifest` are required. If several clients register the same files at
        once, only the first version stays, and all of them get it.
        """
        with self._errors(f"a version of {name!r} at {source}"), _sent_once():
            made = self._client.create_model_version(
                name, source, run_id=run_id, tags=_prefixed(tags), description=description, await_creation_for=0
            )
        first = self.find_version(name, tags["files_digest"], is_ours)
        if first is None or first.version == str(made.version):
            return _registered(made)
        with self._errors(f"version {made.version} of {name!r}"):
            self._client.delete_model_version(name, str(made.version))
        return first

    def aliases(self, name: str) -> dict[str, str]:
        """Return a registered model's versions by alias; empty where there is no such model."""
        with self._errors(f"the registered model {name!r}"):
            model = self._model_or_none(name)
        return {alias: str(version) for alias, version in model.aliases.items()} if model else {}

    def find(self, name: str, version: str) -> RegisteredVersion | None:
        """Return the version, or None where there is none. People may delete old versions."""
        from mlflow.exceptions import MlflowException

        with self._errors(f"version {version} of {name!r}"):
            try:
                return _registered(self._client.get_model_version(name, version))
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise

    def update_version(self, known: RegisteredVersion, tags: Mapping[str, str | None], description: str) -> None:
        """Change a version's description and those of its tags that differ; None removes a tag."""
        with self._errors(f"version {known.version} of {known.name!r}"):
            for tag, value in tags.items():
                if value is None and tag in known.tags:
                    self._client.delete_model_version_tag(known.name, known.version, f"{TAG}{tag}")
                elif value is not None and known.tags.get(tag) != value:
                    self._client.set_model_version_tag(known.name, known.version, f"{TAG}{tag}", value)
            if description != known.description:
                self._client.update_model_version(known.name, known.version, description)

    def set_alias(self, name: str, alias: str, version: str | None) -> None:
        """Point an alias to a version, or remove it for None; raises NotFound where there is no such version."""
        with self._errors(f"the alias {alias!r} of {name!r}, version {version}"):
            if version is None:
                self._client.delete_registered_model_alias(name, alias)
            else:
                self._client.set_registered_model_alias(name, alias, version)

    def ensure_run(self, experiment: str, name: str, identity: Mapping[str, str], tags: Mapping[str, str]) -> str:
        """Return the id of the experiment's run with the tags `identity`; create it with more `tags` if there is none.

        Raises NotFound for an experiment that somebody deleted: MLflow keeps it and its name until it is restored.
        """
        with self._errors(f"the experiment {experiment!r}"):
            known = self._client.get_experiment_by_name(experiment)
            if known and known.lifecycle_stage == "deleted":
                raise NotFound(
                    f"Somebody deleted the experiment {experiment!r} in MLflow at {self._address}; restore it with "
                    f"'mlflow experiments restore --experiment-id {known.experiment_id}', and clear this task."
                )
            # With this kind MLflow's UI shows runs with metrics, and not conversations.
            experiment_id = (
                known.experiment_id
                if known
                else self._client.create_experiment(
                    experiment, tags={"mlflow.experimentKind": "custom_model_development"}
                )
            )
            asked = (f"tags.`{TAG}{tag}` = '{_quoted(value)}'" for tag, value in identity.items())
            found = self._client.search_runs([experiment_id], " and ".join(asked))
            if found:
                return str(found[0].info.run_id)
            with _sent_once():
                run = self._client.create_run(experiment_id, run_name=name, tags=_prefixed({**identity, **tags}))
            return str(run.info.run_id)

    def artifact_uri(self, run_id: str) -> str:
        """Return the address of the run's own artifacts."""
        with self._errors(f"the run {run_id}"):
            return str(self._client.get_run(run_id).info.artifact_uri)

    def artifact_names(self, run_id: str, folder: str) -> list[str]:
        """Return the paths of the run's artifacts directly below a folder, as the server sees them."""
        with self._errors(f"the run {run_id}"):
            return [found.path for found in self._client.list_artifacts(run_id, folder)]

    def log_numbers(
        self, run_id: str, parameters: Mapping[str, str], outcomes: Mapping[str, str], metrics: Mapping[str, float]
    ) -> None:
        """Log the run's parameters, the outcome of its targets and its metrics, and end the run.

        Logging the same twice changes nothing. The outcomes of a later attempt replace those of an earlier one.
        Parameters never change.
        """
        from mlflow.entities import Metric, Param, RunTag

        # Of several values of one step, MLflow shows the latest; of several at one time, the largest.
        now = int(time.time() * 1000)
        with self._errors(f"the run {run_id}"):
            known = self._client.get_run(run_id).data.metrics
            fresh = [Metric(name, value, now, 0) for name, value in metrics.items() if known.get(name) != value]
            self._client.log_batch(
                run_id,
                params=[Param(name, value) for name, value in parameters.items()],
                tags=[RunTag(name, value) for name, value in outcomes.items()],
            )
            for start in range(0, len(fresh), METRICS_PER_CALL):
                self._client.log_batch(run_id, metrics=fresh[start : start + METRICS_PER_CALL])
            self._client.set_terminated(run_id)

    def set_note(self, run_id: str, markdown: str) -> None:
        """Set the text at the top of the run's page in MLflow."""
        with self._errors(f"the run {run_id}"):
            self._client.set_tag(run_id, "mlflow.note.content", markdown)

    def log_files(self, run_id: str, files: Sequence[Path]) -> None:
        """Send files to the run through the server."""
        with self._errors(f"the artifacts of run {run_id}"):
            for file in files:
                self._client.log_artifact(run_id, str(file))

    def _model_or_none(self, name: str) -> "RegisteredModel | None":
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        with registry_errors(self._address, what, self._answered):
            yield
            self._answered = True


@contextmanager
def _sent_once() -> Iterator[None]:
    """Switch off the retries of MLflow's client for requests that create something.

    The server may have acted although its reply was lost, so a retry could create it twice. The task's next attempt
    searches first. The client reads this variable at every request.
    """
    before = os.environ.get(RETRIES)
    os.environ[RETRIES] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[RETRIES]
        else:
            os.environ[RETRIES] = before


def _registered(version: "ModelVersion") -> RegisteredVersion:
    return RegisteredVersion(
        version.name,
        str(version.version),
        version.source or "",
        version.tags.get(f"{TAG}release", ""),
        version.tags.get(f"{TAG}manifest", ""),
        {name.removeprefix(TAG): value for name, value in version.tags.items() if name.startswith(TAG)},
        version.description or "",
    )


def _prefixed(tags: Mapping[str, str]) -> dict[str, str]:
    return {f"{TAG}{name}": value for name, value in tags.items()}


def _quoted(value: str) -> str:
    """Return a value that can be part of a filter. MLflow's filters have no escape, so a quote is refused."""
    if "'" in value:
        raise TerminalError(
            f"{value!r} contains a quotation mark, and MLflow cannot search for it; choose another name."
        )
    return value

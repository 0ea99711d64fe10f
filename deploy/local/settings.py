"""The settings of the stack, from `settings.toml` in the state folder, and the paths of its files.

[ports]
airflow = 8080
mlflow = 5000
s3 = 9000
hub = 8090

[stack]
hub = "mirror"          # or "huggingface": where models come from
store = "s3"            # or "folder", `store` in the state folder: where artifacts lie
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from deploy.local.hub_repository import find
from tasks.errors import InvalidRecipe, TerminalError
from tasks.model import Model, explain
from tasks.settings import REPOSITORY, home, settings_file, settings_table

HOST = "127.0.0.1"
BUCKET = "hallmark"
PUBLIC_HUB = "https://huggingface.co"

Hub = Literal["mirror", "huggingface"]
Port = Annotated[int, Field(ge=1, le=65535)]


class StackError(TerminalError):
    """Raised when a command of the stack fails. The message ends with what fixes it."""


class Ports(Model):
    """TCP ports on the loopback address."""

    airflow: Port = 8080
    mlflow: Port = 5000
    s3: Port = 9000
    hub: Port = 8090


class StackSettings(Model):
    """The stack's settings; everything has a default."""

    ports: Ports = Ports()
    hub: Hub = "mirror"
    store: Literal["s3", "folder"] = "s3"

    def address(self, service: str) -> str:
        """The address of a service, named as its port is."""
        return f"http://{HOST}:{getattr(self.ports, service)}"

    @property
    def store_address(self) -> str:
        """The address of the store that holds artifacts and release records."""
        return f"s3://{BUCKET}/store" if self.store == "s3" else f"file://{home() / 'store'}"

    @property
    def mlflow_destination(self) -> str:
        """Where MLflow keeps its own uploads. `tasks.release.version_source` explains why this is in the store."""
        return f"s3://{BUCKET}/mlflow" if self.store == "s3" else f"{self.store_address}/mlflow"

    @property
    def hub_address(self) -> str:
        """The address of the Hub that models come from."""
        return self.address("hub") if self.hub == "mirror" else PUBLIC_HUB


@dataclass(frozen=True)
class StackPaths:
    """The paths of the stack's files. All are below `root`, which only its owner may enter."""

    root: Path

    @property
    def logs(self) -> Path:
        """One log file per component, and the logs of requests."""
        return self.root / "logs"

    @property
    def credentials(self) -> Path:
        """The generated secrets."""
        return self.root / "credentials.json"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME: the metadata database and the tasks' logs."""
        return self.root / "airflow"

    @property
    def running(self) -> Path:
        """The settings of the last start."""
        return self.root / "settings.json"

    @property
    def session(self) -> Path:
        """The record of the stack's session of processes."""
        return self.root / "session.json"

    @property
    def passwords(self) -> Path:
        """Airflow's password file."""
        return self.airflow / "passwords.json"

    @property
    def mlflow(self) -> Path:
        """The MLflow server's database."""
        return self.root / "mlflow"

    @property
    def s3(self) -> Path:
        """The S3 server's objects."""
        return self.root / "s3"

    @property
    def s3_requests(self) -> Path:
        """The S3 server's log of requests."""
        return self.logs / "s3-requests.log"

    @property
    def hub_requests(self) -> Path:
        """The Hub mirror's log of requests."""
        return self.logs / "hub-requests.log"


def stack_paths() -> StackPaths:
    """Return the stack's paths in the state folder."""
    return StackPaths(home() / "stack")


def stack_settings() -> StackSettings:
    """Return what the settings file says; raises InvalidRecipe naming the file and the field that is wrong."""
    path = settings_file()
    try:
        settings = StackSettings.model_validate({"ports": settings_table("ports"), **settings_table("stack")})
    except ValidationError as error:
        raise InvalidRecipe(f"{path}: {explain(error, StackSettings)}; correct that line.") from error
    taken: dict[int, str] = {}
    for service, port in settings.ports:
        if port in taken:
            raise InvalidRecipe(f"{path}: [ports] {taken[port]} and {service} are both {port}; give each its own.")
        taken[port] = service
    return settings


def running_settings() -> StackSettings:
    """Return the settings of the last start, or those of the file if the stack was never started."""
    path = stack_paths().running
    return StackSettings.from_json(path.read_bytes()) if path.exists() else stack_settings()


def mirror_roots() -> list[Path]:
    """Return the folders whose models the mirror serves. If both have a model, the first counts: the published one."""
    return [home() / "hub", REPOSITORY / "deploy" / "demo" / "hub"]


def hub_of(repository: str) -> Hub:
    """Return where a model comes from: the mirror if it has the model, else the public Hub."""
    return "mirror" if find(mirror_roots(), repository) else "huggingface"

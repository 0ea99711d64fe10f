"""The whole stack, started and used as a user would."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deploy.local import stack
from deploy.local.airflow_api import AirflowApi, AirflowRefused, AirflowUnavailable
from deploy.local.session import session_processes
from deploy.local.settings import StackError, StackSettings
from tasks.pools import declared_pools
from tasks.runtimes import environments, runtime
from tasks.settings import REPOSITORY
from tests.fixtures.servers import free_port

USES_MLFLOW = """
import mlflow, sys
with mlflow.start_run() as run:
    mlflow.log_metric("assayed", 1)
    mlflow.log_text("struck", "mark.txt")
print(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/mark.txt"), run.info.artifact_uri)
"""


def test_a_taken_port_is_named_with_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_ENVS", str(environments()))
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"s3": free_port(), "hub": free_port(), "mlflow": port, "airflow": free_port()}
        (tmp_path / "settings.toml").write_text("[ports]\n" + "".join(f"{k} = {v}\n" for k, v in ports.items()))
        with pytest.raises(StackError, match=rf"Port {port}.*`mlflow` in the table \[ports\] of .*settings.toml"):
            stack.up()
    assert session_processes(tmp_path / "stack" / "session.json") == []


def test_a_port_that_only_root_may_open_is_not_called_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_ENVS", str(environments()))
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    (tmp_path / "settings.toml").write_text("[ports]\ns3 = 80\n")

    class Refused(socket.socket):
        """A socket of a user who is not root: tests may run as root."""

        def bind(self, address: Any) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refused)
    said = (
        r"^Port 80, which \S+ needs, may be opened by root alone; set `s3` .* of .*settings.toml to a port from 1024 on"
    )
    with pytest.raises(StackError, match=said):
        stack.up()


def test_no_airflow_is_said_in_one_sentence() -> None:
    with AirflowApi(f"http://127.0.0.1:{free_port()}", "admin", "none") as api, pytest.raises(AirflowUnavailable):
        api.pools()


def test_the_declared_pools_and_no_others_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    (tmp_path / "settings.toml").write_text(
        '[host]\ncores = 64\ngpus = 3\n[pools.big]\nslots = 8\nhardware = "a declared processor"\n'
    )
    made: dict[str, tuple[int, str]] = {}
    airflow = SimpleNamespace(set_pool=lambda name, slots, what: made.update({name: (slots, what)}))
    stack.set_pools(cast("AirflowApi", airflow), declared_pools())
    assert {name: slots for name, (slots, _) in made.items()} == {"big": 8, "release": 1}
    assert "a declared processor" in made["big"][1]


class SlowAirflow:
    """An Airflow that does not answer the first requests."""

    def __init__(self, unanswered: int) -> None:
        self.unanswered = unanswered
        self.connection = ""

    def set_pool(self, *_: object) -> None:
        if self.unanswered:
            self.unanswered -= 1
            raise AirflowUnavailable("Airflow did not answer.")

    def set_connection(self, name: str, _kind: str, host: str, _password: str | None) -> None:
        self.connection = f"{name} {host}"


def test_an_airflow_that_answers_late_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "SETTING_PAUSES", (0.0, 0.0, 0.0))
    airflow, said = SlowAirflow(unanswered=3), list[str]()
    settings = StackSettings(hub="huggingface")
    stack.configure(cast("AirflowApi", airflow), declared_pools(), settings, said.append)
    assert airflow.connection == "hallmark_hub https://huggingface.co"
    assert said == ["Airflow did not answer. Trying again in 0 s."] * 3
    with pytest.raises(AirflowUnavailable):
        stack.configure(cast("AirflowApi", SlowAirflow(unanswered=4)), declared_pools(), settings, said.append)


@pytest.mark.stack
@pytest.mark.xdist_group("stack")
class TestRunning:
    """With every component up."""

    def test_every_component_is_ready_with_its_address_and_memory(self, running_stack: Any) -> None:
        shown = running_stack.command("status")
        assert shown.returncode == 0, shown.stdout
        rows = {line.split()[0]: line for line in shown.stdout.splitlines()[1:-1]}
        assert set(rows) >= {"s3", "hub", "mlflow", "airflow-api", "airflow-scheduler", "airflow-triggerer"}
        assert all(row.endswith("ready") and "MiB" in row for row in rows.values())
        assert running_stack.address("airflow") in rows["airflow-api"]

    def test_a_second_start_is_quick_and_changes_nothing(self, running_stack: Any) -> None:
        before, began = _pids(running_stack), time.monotonic()
        again = running_stack.command("up")
        # Two seconds on an idle machine; the rest is for one that is not.
        assert again.returncode == 0
        assert time.monotonic() - began < 15
        assert _pids(running_stack) == before

    def test_pools_are_those_of_the_settings(self, running_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HALLMARK_HOME", str(running_stack.home))
        with running_stack.airflow() as airflow:
            pools = {pool.name: pool.slots for pool in airflow.pools()}
        assert pools.items() >= {pool.name: pool.slots for pool in declared_pools()}.items()
        assert pools["release"] == 1

    def test_the_hub_is_changed_without_a_restart(self, running_stack: Any) -> None:
        before = _pids(running_stack)
        for words, host in ((("--hub", "huggingface"), "https://huggingface.co"), ((), running_stack.address("hub"))):
            assert running_stack.command("up", *words).returncode == 0
            with running_stack.airflow() as airflow:
                assert airflow.connection_host("hallmark_hub") == host
            assert running_stack.environment().get("HF_ENDPOINT", "https://huggingface.co") == host
        assert _pids(running_stack) == before

    def test_airflow_refuses_a_wrong_password_and_an_unknown_dag(self, running_stack: Any) -> None:
        stranger = AirflowApi(running_stack.address("airflow"), "admin", "wrong")
        with stranger, pytest.raises(AirflowRefused, match="password"):
            stranger.pools()
        with running_stack.airflow() as airflow, pytest.raises(AirflowRefused, match="absent"):
            airflow.trigger("absent")

    def test_a_process_outside_uses_mlflow_and_the_store(self, running_stack: Any, tmp_path: Path) -> None:
        variables = running_stack.variables() | running_stack.environment()
        said = subprocess.run(
            [runtime("control").python, "-c", USES_MLFLOW],
            env=variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stderr
        assert "struck mlflow-artifacts:/" in said.stdout
        # The server kept the artifact in the bucket.
        kept = (running_stack.home / "stack" / "logs" / "s3-requests.log").read_text()
        assert "mark.txt" in kept
        put = "from tasks.store.open import open_store; print(open_store().put_bytes('probe', b'x').size)"
        subprocess.run([runtime("control").python, "-c", put], env=variables, cwd=REPOSITORY, check=True)

    def test_the_mirror_serves_what_is_published(self, running_stack: Any, tmp_path: Path) -> None:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "config.json").write_text("{}")
        told = running_stack.command("publish", "acme/new", str(tmp_path / "new"))
        with urllib.request.urlopen(f"{running_stack.address('hub')}/api/models/acme/new") as answer:
            assert json.load(answer)["sha"] == told.stdout.strip()

    def test_mlflow_refuses_a_foreign_host_name(self, running_stack: Any) -> None:
        request = urllib.request.Request(running_stack.address("mlflow"), headers={"Host": "attacker.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request)

    def test_a_components_log_is_shown(self, running_stack: Any) -> None:
        assert running_stack.command("logs", "airflow-scheduler", "-n", "3").stdout.strip()

    def test_a_component_that_was_killed_comes_back(self, running_stack: Any) -> None:
        with urllib.request.urlopen(f"{running_stack.address('hub')}/healthz"):
            pass
        killed = _pids(running_stack)["hub"]
        os.kill(killed, signal.SIGKILL)
        end = time.monotonic() + 30
        while _pids(running_stack).get("hub") in (None, killed):
            assert time.monotonic() < end
        assert running_stack.command("up").returncode == 0


def _pids(running_stack: Any) -> dict[str, int]:
    """Process ids of the components that are ready."""
    rows = [line.split() for line in running_stack.command("status").stdout.splitlines()[1:-1]]
    return {row[0]: next(int(word) for word in row if word.isdecimal()) for row in rows if row[-1] == "ready"}

"""The laptop stack of the measured tree, with its state in a folder of the benchmark's own."""

import os
import shutil
import socket
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.places import MODEL, Places, python
from deploy.local.access_log import read_access_log
from deploy.local.airflow_api import AirflowApi
from deploy.local.credentials import AIRFLOW_USER, Credentials

SERVICES = ("airflow", "mlflow", "s3", "hub")


@dataclass
class Stack:
    """A stack that can be started, emptied and stopped."""

    places: Places
    home: Path

    def up(self) -> None:
        """Start it, on free ports, with the made model on its mirror."""
        if not (self.home / "settings.toml").exists():
            self.home.mkdir(parents=True, exist_ok=True)
            ports = [f"{service} = {port}" for service, port in zip(SERVICES, _free_ports(len(SERVICES)), strict=True)]
            (self.home / "settings.toml").write_text("\n".join(["[ports]", *ports, ""]))
        published = self.home / "hub" / MODEL
        if not published.exists():
            # Hard links: the mirror reads the model where it is.
            shutil.copytree(self.places.model, published, copy_function=_link)
        self._command("up")

    def down(self) -> None:
        """Stop it; nothing happens where it does not run."""
        pid = self.home / "stack" / "supervisord.pid"
        if not pid.exists():
            return
        supervisord, ended = int(pid.read_text()), threading.Event()
        # It is this process's child, since that is a subreaper; until it is waited for, it is not gone for others.
        waiting = threading.Thread(target=_reap, args=(supervisord, ended), daemon=True)
        waiting.start()
        try:
            self._command("down")
        finally:
            ended.set()
            waiting.join()

    def empty(self) -> None:
        """Stop it and forget all it has made."""
        self.down()
        shutil.rmtree(self.home, ignore_errors=True)

    @cached_property
    def variables(self) -> dict[str, str]:
        """What a process outside needs to use it, by `deploy.local env`."""
        lines = self._command("env").splitlines()
        return {name: value.strip("'") for name, _, value in (line[7:].partition("=") for line in lines)}

    def airflow(self) -> AirflowApi:
        """A client of its Airflow."""
        password = Credentials.from_json((self.home / "stack" / "credentials.json").read_bytes()).airflow_password
        settings = dict(line.split(" = ") for line in (self.home / "settings.toml").read_text().splitlines()[1:])
        return AirflowApi(f"http://127.0.0.1:{settings['airflow']}", AIRFLOW_USER, password)

    def requests(self, server: str) -> list[dict[str, Any]]:
        """The requests that `hub` or `s3` has answered."""
        return read_access_log(self.home / "stack" / "logs" / f"{server}-requests.log")

    def _command(self, word: str) -> str:
        done = subprocess.run(
            [python("control"), "-m", "deploy.local", word],
            cwd=self.places.tree,
            env=self.places.environment(self.home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"deploy.local {word} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def _reap(pid: int, ended: threading.Event) -> None:
    with suppress(ChildProcessError):
        while not ended.wait(0.2) and os.waitpid(pid, os.WNOHANG) == (0, 0):
            pass


def _link(source: str, destination: str) -> None:
    Path(destination).hardlink_to(source)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()

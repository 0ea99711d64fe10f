"""Configures, starts and controls supervisord, over a private socket."""

import http.client
import os
import socket
import subprocess
import time
import xmlrpc.client
from collections.abc import Collection, Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from deploy.local.private import private_folder, write_private
from deploy.local.programs import Program
from deploy.local.session import remember_session
from deploy.local.settings import HOST, StackError, StackPaths
from tasks.host.proc import start_ticks
from tasks.runtimes import runtime
from tasks.secrets import PROXIES, SHELL
from tasks.settings import REPOSITORY

SOCKET = "supervisor.sock"
HERE = "/proc/self/cwd"
"""The stack's folder, as supervisord sees it: supervisord is started there and does not change its folder. The real
path may be too long for a socket, and supervisord expands a `%` in it twice in some options and once in others."""


ALREADY_STARTED = 60
"""supervisord's fault number for starting a program that already runs."""

UNIX_PATH_BYTES = 107
"""The longest path in the address of a unix socket on Linux."""


@dataclass(frozen=True)
class ProcessState:
    """One component as supervisord sees it. `pid` is 0 while it does not run. `start` is in seconds since the epoch."""

    name: str
    state: str
    pid: int
    start: float


def inherited(shell: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that supervisord inherits. Addresses of this machine use no proxy."""
    environment = {name: shell[name] for name in SHELL if name in shell}
    if environment.keys() & set(PROXIES):
        for name in ("NO_PROXY", "no_proxy"):
            environment[name] = ",".join(filter(None, (environment.get(name), HOST, "localhost")))
    return environment


def render(programs: Iterable[Program], paths: StackPaths) -> str:
    """Return supervisord's configuration."""
    sections = [
        f"[unix_http_server]\nfile = {HERE}/{SOCKET}\nchmod = 0600\n",
        "[supervisord]\n"
        f"logfile = {HERE}/logs/supervisord.log\n"
        "logfile_maxbytes = 5MB\n"
        "logfile_backups = 1\n"
        f"pidfile = {HERE}/supervisord.pid\n"
        # Databases, logs, objects, sockets and job folders: only their owner can read what the components create.
        "umask = 077\n",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n",
    ]
    return "\n".join([*sections, *(_section(program, paths) for program in programs)])


def _section(program: Program, paths: StackPaths) -> str:
    environment = {"PYTHONPATH": str(REPOSITORY), **program.environment, "PYTHONUNBUFFERED": "1"}
    # Processes that a killed component left are ended before it starts again.
    begins = (str(runtime("stack").python), "-m", "deploy.local.component", str(paths.session))
    options = {
        "command": " ".join(_quoted(word) for word in (*begins, *program.command)),
        "directory": _escape(str(REPOSITORY)),
        "environment": ",".join(f"{name}={_quoted(value)}" for name, value in sorted(environment.items())),
        # `up` starts the components in order; after a crash, supervisord does.
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "3",
        "startretries": "2",
        "stopasgroup": str(program.stop_group).lower(),
        "killasgroup": "true",
        "stopwaitsecs": "10",
        "redirect_stderr": "true",
        "stdout_logfile": f"{HERE}/logs/{program.name}.log",
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "1",
    }
    return "\n".join([f"[program:{program.name}]", *(f"{name} = {value}" for name, value in options.items()), ""])


def log_file(paths: StackPaths, component: str) -> Path:
    """Return a component's own log."""
    return paths.logs / f"{component}.log"


def _escape(text: str) -> str:
    # supervisord expands %(name)s, and treats " ;" and " #" as the start of a comment.
    if " ;" in text or " #" in text or "\n" in text:
        raise StackError(
            f"{text!r} contains ' ;', ' #' or a line break, which supervisord cannot read; rename that folder."
        )
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """Return a word in single quotes. Neither supervisord nor its word splitting knows an escape in them."""
    if "'" in text or text.endswith('"'):
        raise StackError(f"{text!r} contains a quote, which supervisord cannot read; rename that folder.")
    return f"'{_escape(text)}'"


class Supervisor:
    """A running supervisord, or one that can be started."""

    def __init__(self, paths: StackPaths) -> None:
        self._paths = paths

    @property
    def running(self) -> bool:
        """Whether supervisord answers."""
        try:
            self._connection().getState()
        except OSError:
            return False
        return True

    def start(self) -> None:
        """Start supervisord in the background, in its own session, with the configuration from `configure`."""
        for folder in (self._paths.root, self._paths.logs, self._paths.mlflow):
            private_folder(folder)
        environment = inherited(os.environ)
        # The stack's folder has subfolders with names of packages, so interpreters must not import from it.
        environment["PYTHONSAFEPATH"] = "1"
        done = subprocess.run(
            [runtime("stack").python, "-m", "supervisor.supervisord", "-c", self._paths.root / "supervisord.conf"],
            cwd=self._paths.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        end = time.monotonic() + 20
        while not self.running:
            if done.returncode != 0 or time.monotonic() > end:
                said = done.stdout.strip() or tail(self._paths.logs / "supervisord.log", 15)
                raise StackError(f"supervisord did not start; see {self._paths.logs / 'supervisord.log'}.\n{said}")
            time.sleep(0.05)
        remember_session(self._paths.session, cast("int", self._call("getPID")))

    def configure(self, programs: Iterable[Program]) -> None:
        """Write the configuration. If supervisord runs, stop the components that changed or were removed."""
        write_private(self._paths.root / "supervisord.conf", render(programs, self._paths))
        if not self.running:
            return
        ((added, changed, removed),) = cast("list[list[list[str]]]", self._call("reloadConfig"))
        self._stop([*changed, *removed])
        for name in (*changed, *removed):
            self._call("removeProcessGroup", name)
        for name in (*added, *changed):
            self._call("addProcessGroup", name)

    def processes(self) -> dict[str, ProcessState]:
        """Return the state of every component, by name."""
        rows = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        return {row["name"]: ProcessState(row["name"], row["statename"], row["pid"], row["start"]) for row in rows}

    def start_program(self, name: str) -> None:
        """Start a component without waiting. Do nothing if it runs already."""
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != ALREADY_STARTED:
                raise StackError(f"{name} cannot be started: {fault.faultString}; run `make setup` again.") from fault

    def shutdown(self, last: Container[str]) -> None:
        """Stop every component, those in `last` after the others, then supervisord; wait until all have ended."""
        names = self.processes()
        self._stop([name for name in names if name not in last])
        self._stop([name for name in names if name in last])
        pid = cast("int", self._call("getPID"))
        self._call("shutdown")
        end = time.monotonic() + 120
        # A zombie counts as ended: in some containers the first process does not reap zombies.
        while start_ticks(pid) is not None:
            if time.monotonic() > end:
                raise StackError(
                    f"supervisord (process {pid}) does not end; see {self._paths.logs / 'supervisord.log'}."
                )
            time.sleep(0.05)

    def _stop(self, names: Collection[str]) -> None:
        """Stop components at the same time. By itself supervisord stops one after the other."""
        for name in names:
            with suppress(xmlrpc.client.Fault):
                self._call("stopProcess", name, False)
        while any(process.pid for process in self.processes().values() if process.name in names):
            time.sleep(0.1)

    def _call(self, method: str, *arguments: Any) -> object:
        try:
            return getattr(self._connection(), method)(*arguments)
        except OSError as error:
            log = self._paths.logs / "supervisord.log"
            raise StackError(f"supervisord does not answer ({error}); see {log}, then run: make up") from error

    def _connection(self) -> Any:
        transport = _UnixTransport(self._paths.root / SOCKET)
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        if len(os.fsencode(self._path)) <= UNIX_PATH_BYTES:
            self.sock.connect(str(self._path))
            return
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a file; empty where there is no file."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        # Lines of a log are short: 400 bytes per line are enough.
        file.seek(max(0, path.stat().st_size - 400 * lines))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

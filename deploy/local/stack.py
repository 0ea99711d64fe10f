"""Starts, stops and checks the laptop stack."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from deploy.local.airflow_api import AirflowApi, AirflowUnavailable
from deploy.local.credentials import AIRFLOW_USER, Credentials, load_credentials, make_credentials
from deploy.local.private import private_folder, write_private
from deploy.local.programs import Program, programs, store_access
from deploy.local.readiness import Readiness
from deploy.local.session import memory_bytes, session_processes
from deploy.local.settings import (
    HOST,
    Hub,
    StackError,
    StackPaths,
    StackSettings,
    running_settings,
    stack_paths,
    stack_settings,
)
from deploy.local.supervisor import ProcessState, Supervisor, log_file, tail
from operators.local_job import JobProcess
from tasks.host.file_lock import exclusive_lock
from tasks.host.proc import start_ticks
from tasks.pools import REGISTRY_POOL, Pool, declared_pools
from tasks.retry import Retry
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY, home, settings_file

START_SECONDS = 420
"""The time limit for all components to be ready. A first start took 160 s on two cores that had other work."""

SETTING_PAUSES = (1.0, 5.0, 15.0)
"""Seconds between the tries to set Airflow's pools. Each try waits for a minute."""

TOLD_LINES = 15
DEAD = {"BACKOFF", "EXITED", "FATAL", "UNKNOWN"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Component:
    """A row of the status table. `address` is empty where there is no port. `memory_bytes` is the share (PSS)."""

    name: str
    state: str
    address: str
    pid: int
    memory_bytes: int


def up(hub: Hub | None = None, say: Say = print) -> None:
    """Start every component that does not run, and wait until all are ready.

    hub: where models come from, instead of the setting.

    Raises StackError that names a taken port and its setting, or a component that died and the last lines of its log.
    """
    settings, paths, pools = stack_settings(), stack_paths(), declared_pools()
    if hub is not None:
        settings = settings.model_copy(update={"hub": hub})
    private_folder(paths.root)
    with _stack_lock(paths):
        credentials = make_credentials(paths)
        wanted = programs(settings, paths, credentials, pools)
        supervisor = Supervisor(paths)
        if not supervisor.running:
            # If supervisord was killed, its components still run and keep their ports.
            _end(session_processes(paths.session))
        supervisor.configure(wanted)
        write_private(paths.running, settings.to_json())
        runs = _running(supervisor)
        _check_ports([program for program in wanted if program.name not in runs], settings)
        if not supervisor.running:
            supervisor.start()
        first = [program.name for program in wanted if not program.name.startswith("airflow-")]
        for name in first:
            supervisor.start_program(name)
        _migrate(wanted, paths, say)
        for program in wanted:
            supervisor.start_program(program.name)
        _await(wanted, Readiness(settings, credentials), supervisor, paths, say)
        with airflow_api(settings, credentials) as airflow:
            configure(airflow, pools, settings, say)


def configure(airflow: AirflowApi, pools: Sequence[Pool], settings: StackSettings, say: Say = print) -> None:
    """Set Airflow's pools and its connection to the Hub.

    Raises AirflowUnavailable only after several tries: while a busy machine parses all DAGs for the first time, a reply
    can take longer than the client waits.
    """
    retry = Retry(SETTING_PAUSES, say)
    while True:
        try:
            set_pools(airflow, pools)
            # In the database and not in the environment, so that a change of the Hub needs no restart.
            airflow.set_connection("hallmark_hub", "http", settings.hub_address, _hub_token(settings))
        except AirflowUnavailable as error:
            retry.failed(error)
        else:
            return


def set_pools(airflow: AirflowApi, pools: Sequence[Pool]) -> None:
    """Make the declared pools in Airflow, and the one in which releases are registered."""
    for pool in pools:
        what = "Processor cores" if pool.device == "cpu" else "GPUs"
        airflow.set_pool(pool.name, pool.slots, f"{what}: {pool.hardware}. A task takes as many slots as threads.")
    airflow.set_pool(REGISTRY_POOL, 1, "One registration or promotion at a time.")


def down(say: Say = print) -> None:
    """Stop every component and every running job. Do nothing if the stack does not run."""
    paths = stack_paths()
    if not paths.root.exists():
        return
    with _stack_lock(paths):
        supervisor = Supervisor(paths)
        if supervisor.running:
            say("Stopping the stack.")
            # First the components that run tasks: a stopped task reports to the API.
            supervisor.shutdown(last={"s3", "hub", "mlflow", "airflow-api"})
        _end_jobs()
        _end(session_processes(paths.session))


def status() -> list[Component]:
    """Return the current state of every component: `ready`, or what it lacks."""
    settings, paths = running_settings(), stack_paths()
    credentials = load_credentials(paths)
    supervisor, readiness = Supervisor(paths), Readiness(settings, credentials)
    states = supervisor.processes() if supervisor.running else {}
    rows = []
    for program in programs(settings, paths, credentials, declared_pools()):
        process = states.get(program.name)
        address = settings.address(program.port) if program.port else ""
        if process is None or not process.pid:
            rows.append(Component(program.name, process.state.lower() if process else "stopped", address, 0, 0))
            continue
        lacking = readiness.missing(program.name, process.start)
        state = f"not ready: {lacking}" if lacking else "ready"
        rows.append(Component(program.name, state, address, process.pid, memory_bytes(process.pid)))
    return rows


def environment() -> dict[str, str]:
    """Return what a process outside the stack needs to use it: the store, the registry and the Hub.

    Raises StackError where the stack was never started.
    """
    settings, credentials = running_settings(), load_credentials(stack_paths())
    variables = {
        "HALLMARK_STORE": settings.store_address,
        **store_access(settings, credentials),
        "MLFLOW_TRACKING_URI": settings.address("mlflow"),
    }
    if settings.hub == "mirror":
        # Without this, the client would fetch large files from Xet storage, which the mirror does not have.
        variables |= {"HF_ENDPOINT": settings.hub_address, "HF_HUB_DISABLE_XET": "1"}
    return variables


def airflow_api(settings: StackSettings | None = None, credentials: Credentials | None = None) -> AirflowApi:
    """Return a client of the stack's Airflow."""
    settings, credentials = settings or running_settings(), credentials or load_credentials(stack_paths())
    return AirflowApi(settings.address("airflow"), AIRFLOW_USER, credentials.airflow_password)


def _hub_token(settings: StackSettings) -> str | None:
    """Return the user's own token, only for the public Hub."""
    return os.environ.get("HF_TOKEN") if settings.hub == "huggingface" else None


@contextmanager
def _stack_lock(paths: StackPaths) -> Iterator[None]:
    """Hold the stack's lock: two starts at once would each see the other's half. What is made meanwhile is private."""
    before = os.umask(0o077)
    try:
        with exclusive_lock(paths.root / "lock"):
            yield
    finally:
        os.umask(before)


def _running(supervisor: Supervisor) -> set[str]:
    if not supervisor.running:
        return set()
    return {name for name, process in supervisor.processes().items() if process.pid}


def _check_ports(starting: Sequence[Program], settings: StackSettings) -> None:
    for program in starting:
        if program.port is None:
            continue
        port = getattr(settings.ports, program.port)
        with socket.socket() as probe:
            # The servers do the same: a connection of the last run that is still closing does not matter.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except PermissionError as error:
                raise StackError(
                    f"Port {port}, which {program.name} needs, may be opened by root alone; set `{program.port}` in "
                    f"the table [ports] of {settings_file()} to a port from 1024 on."
                ) from error
            except OSError as error:
                raise StackError(
                    f"Port {port}, which {program.name} needs, is taken by another program; stop that program, or set "
                    f"`{program.port}` in the table [ports] of {settings_file()} to a free port."
                ) from error


def _migrate(wanted: Sequence[Program], paths: StackPaths, say: Say) -> None:
    """Create or upgrade Airflow's database, once per version of the runtime `control`."""
    stamp, version = paths.airflow / "migrated", runtime("control").lock_digest
    if stamp.exists() and stamp.read_text() == version:
        return
    say("Preparing Airflow's database.")
    airflow = next(program for program in wanted if program.name == "airflow-api")
    log = log_file(paths, "airflow-migrate")
    with log.open("wb") as output:
        done = subprocess.run(
            [runtime("control").python, "-m", "airflow", "db", "migrate"],
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **airflow.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise StackError(f"Airflow's database could not be prepared; see {log}:\n{tail(log, TOLD_LINES)}")
    stamp.write_text(version)


def _await(
    wanted: Sequence[Program], readiness: Readiness, supervisor: Supervisor, paths: StackPaths, say: Say
) -> None:
    began = time.monotonic()
    waiting = {program.name: "" for program in wanted}
    pids: dict[str, int] = {}
    told = False
    while waiting:
        states = supervisor.processes()
        for name in list(waiting):
            process = states[name]
            _check_alive(process, pids.setdefault(name, process.pid), paths)
            lacking = readiness.missing(name, process.start)
            if lacking is None:
                del waiting[name]
                if told:
                    say(f"  {name:<22} ready after {time.monotonic() - began:5.1f} s")
            else:
                waiting[name] = lacking
        if waiting and not told:
            told = True
            say(f"Waiting for {', '.join(waiting)}.")
        if time.monotonic() - began > START_SECONDS:
            name, lacking = next(iter(waiting.items()))
            log = log_file(paths, name)
            raise StackError(
                f"{name} is not ready after {START_SECONDS} s ({lacking}); see {log}:\n{tail(log, TOLD_LINES)}"
            )
        if waiting:
            time.sleep(0.2)


def _check_alive(process: ProcessState, first_pid: int, paths: StackPaths) -> None:
    """Raise StackError where a component has died, even if supervisord has restarted it since."""
    if process.state in DEAD or process.pid != first_pid:
        log = log_file(paths, process.name)
        raise StackError(
            f"{process.name} died; fix what its log {log} says, then run `make up` again:\n{tail(log, TOLD_LINES)}"
        )


def _end_jobs() -> None:
    """Stop model tasks. They run detached from the Airflow process that started them."""
    for file in (home() / "jobs").glob("**/job.json"):
        with suppress(OSError, ValueError):
            job = JobProcess.from_json(file.read_bytes())
            if job.alive():
                _end([job.pid], group=True)


def _end(pids: Sequence[int], group: bool = False) -> None:
    """Stop processes, or the groups that they lead: SIGTERM first, SIGKILL after five seconds."""
    send = os.killpg if group else os.kill
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with suppress(ProcessLookupError):
                send(pid, number)
        end = time.monotonic() + 5
        while time.monotonic() < end and any(start_ticks(pid) is not None for pid in pids):
            time.sleep(0.05)

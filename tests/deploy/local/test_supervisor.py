"""Supervisord itself, with small programs: what is rendered is what it reads, and what dies is named."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import stack
from deploy.local.credentials import Credentials, make_credentials
from deploy.local.programs import Program, programs
from deploy.local.readiness import Readiness
from deploy.local.session import memory_bytes, session_processes
from deploy.local.settings import StackError, StackPaths, StackSettings
from deploy.local.supervisor import Supervisor, inherited, render
from tasks.host.proc import start_ticks
from tasks.pools import Pool
from tasks.runtimes import runtime

SET_CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""

POOLS = (Pool(name="cpu", queue="cpu", slots=3, host_slots=3, memory_bytes=2**33, hardware="a processor"),)

READ_BACK = """
import json, shlex, sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(["-c", sys.argv[1]])
programs = [program for group in options.process_group_configs for program in group.process_configs]
print(json.dumps({program.name: [shlex.split(program.command), program.environment] for program in programs}))
"""


@pytest.fixture
def paths(tmp_path: Path) -> StackPaths:
    """A stack's folder whose name holds what must be escaped, and too deep for the path of a unix socket."""
    paths = StackPaths(tmp_path / "50% of it, (no) more" / ("deep" * 25) / "stack")
    paths.root.mkdir(parents=True)
    return paths


@pytest.fixture
def supervisor(paths: StackPaths) -> Iterator[Supervisor]:
    supervisor = Supervisor(paths)
    yield supervisor
    if supervisor.running:
        supervisor.shutdown(last=())


def program(name: str, code: str, **environment: str) -> Program:
    return Program(name, (sys.executable, "-c", code), None, environment)


def credentials(paths: StackPaths) -> Credentials:
    return make_credentials(paths)


def test_every_command_and_variable_is_read_back_as_it_was(paths: StackPaths) -> None:
    wanted = programs(StackSettings(), paths, credentials(paths), POOLS)
    paths.logs.mkdir()
    (paths.root / "supervisord.conf").write_text(render(wanted, paths))
    answer = subprocess.run(
        [runtime("stack").python, "-c", READ_BACK, paths.root / "supervisord.conf"],
        capture_output=True,
        text=True,
        cwd=paths.root,
        check=True,
    )
    read = json.loads(answer.stdout)
    for known in wanted:
        command, variables = read[known.name]
        assert known.environment.items() <= variables.items()
        assert command[-len(known.command) :] == list(known.command)


def test_secrets_stay_out_of_every_command(paths: StackPaths) -> None:
    secrets = set(credentials(paths).model_dump().values())
    for known in programs(StackSettings(), paths, credentials(paths), POOLS):
        assert not any(secret in word for secret in secrets for word in known.command)


def test_airflow_alone_has_the_connections_and_other_programs_their_own_secrets_only(paths: StackPaths) -> None:
    made = credentials(paths)
    known = {each.name: each.environment for each in programs(StackSettings(), paths, made, POOLS)}
    store = json.loads(known["airflow-scheduler"]["AIRFLOW_CONN_HALLMARK_STORE"])
    assert (store["login"], store["password"]) == (made.s3_access_key, made.s3_secret_key)
    assert store["extra"]["endpoint_url"] == "http://127.0.0.1:9000"
    for name in ("s3", "hub", "mlflow"):
        assert not any("AIRFLOW" in variable for variable in known[name])
        assert made.airflow_fernet_key not in known[name].values()


def test_airflow_finds_the_native_tools_that_the_stack_was_started_with(
    paths: StackPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALLMARK_TOOLS", str(paths.root / "elsewhere"))
    known = {each.name: each.environment for each in programs(StackSettings(), paths, credentials(paths), POOLS)}
    assert known["airflow-scheduler"]["HALLMARK_TOOLS"] == str(paths.root / "elsewhere")


def test_a_proxy_is_passed_on_and_not_asked_for_this_machine() -> None:
    shell = {"https_proxy": "http://proxy.test:3128", "no_proxy": "inside.test", "AWS_PROFILE": "other", "PATH": "/bin"}
    assert inherited(shell) == {
        "PATH": "/bin",
        "https_proxy": "http://proxy.test:3128",
        "no_proxy": "inside.test,127.0.0.1,localhost",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    assert inherited({"PATH": "/bin"}) == {"PATH": "/bin"}


def test_a_users_token_goes_to_the_public_hub_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    for hub, expected in (("mirror", None), ("huggingface", "hf_mine")):
        assert stack._hub_token(StackSettings.model_validate({"hub": hub})) == expected


@pytest.mark.parametrize("text", ["it's", "a ;b", "a #b", 'ends with "'])
def test_what_supervisord_would_misread_is_refused(paths: StackPaths, text: str) -> None:
    with pytest.raises(StackError, match="rename"):
        render([program("odd", "pass", VALUE=text)], paths)


def test_programs_start_restart_when_changed_and_end_together(paths: StackPaths, supervisor: Supervisor) -> None:
    sleep = "import time; time.sleep(600)"
    supervisor.configure([program("same", sleep), program("changed", sleep, V="1"), program("gone", sleep)])
    supervisor.start()
    for name in ("same", "changed", "gone"):
        supervisor.start_program(name)
    before = supervisor.processes()
    assert all(process.pid for process in before.values())
    assert memory_bytes(before["same"].pid) > 2**20

    supervisor.configure([program("same", sleep), program("changed", sleep, V="2"), program("new", sleep)])
    for name in ("same", "changed", "new"):
        supervisor.start_program(name)
    after = supervisor.processes()
    assert set(after) == {"same", "changed", "new"}
    assert after["same"].pid == before["same"].pid
    assert after["changed"].pid not in (0, before["changed"].pid)
    # A process that was only just forked has supervisord's environment still.
    end = time.monotonic() + 20
    while b"V=2" not in Path(f"/proc/{after['changed'].pid}/environ").read_bytes().split(b"\0"):
        assert time.monotonic() < end
    assert sorted(session_processes(paths.session)) == sorted(process.pid for process in after.values())
    supervisor.shutdown(last={"same"})
    assert not supervisor.running
    assert session_processes(paths.session) == []


def test_a_supervisord_that_nobody_reaps_has_ended(paths: StackPaths, supervisor: Supervisor) -> None:
    prctl = ctypes.CDLL(None).prctl
    # Orphans become this process's children, which it does not ask for.
    assert prctl(SET_CHILD_SUBREAPER, 1) == 0
    try:
        supervisor.configure([program("any", "import time; time.sleep(600)")])
        supervisor.start()
        pid = int((paths.root / "supervisord.pid").read_text())
        supervisor.shutdown(last=set())
    finally:
        prctl(SET_CHILD_SUBREAPER, 0)
    assert os.waitpid(pid, 0) == (pid, 0)


def test_a_program_that_dies_is_named_with_its_last_words(paths: StackPaths, supervisor: Supervisor) -> None:
    dies = program("s3", 'import sys; print("line one"); sys.exit("no disk left")')
    supervisor.configure([dies])
    supervisor.start()
    supervisor.start_program("s3")
    settings = StackSettings.model_validate({"ports": {"s3": 1}})
    with pytest.raises(StackError, match=r"(?s)s3 died.*line one.*no disk left"):
        stack._await([dies], Readiness(settings, credentials(paths)), supervisor, paths, lambda _: None)


PARENT = (
    'import subprocess, time; child = subprocess.Popen(["sleep", "600"]); print(child.pid, flush=True); time.sleep(600)'
)


def test_what_a_killed_component_leaves_is_ended_before_it_starts_again(
    paths: StackPaths, supervisor: Supervisor
) -> None:
    supervisor.configure([program("parent", PARENT), program("other", PARENT)])
    supervisor.start()
    for name in ("parent", "other"):
        supervisor.start_program(name)
    (child,), (others_child,) = _said(paths, "parent", 1), _said(paths, "other", 1)
    os.kill(supervisor.processes()["parent"].pid, signal.SIGKILL)
    _, next_child = _said(paths, "parent", 2)
    here = session_processes(paths.session)
    assert child not in here
    assert {next_child, others_child} <= set(here)


def _said(paths: StackPaths, name: str, lines: int) -> list[int]:
    """The numbers that a program has printed, once there are so many."""
    log, end = paths.logs / f"{name}.log", time.monotonic() + 30
    while len(said := log.read_text().split() if log.exists() else []) < lines:
        assert time.monotonic() < end, said
        time.sleep(0.05)
    return [int(number) for number in said]


def test_what_a_killed_supervisord_leaves_is_found_and_ended(paths: StackPaths, supervisor: Supervisor) -> None:
    supervisor.configure([program("orphan", "import time; time.sleep(600)")])
    supervisor.start()
    supervisor.start_program("orphan")
    orphan = supervisor.processes()["orphan"].pid
    os.kill(int((paths.root / "supervisord.pid").read_text()), signal.SIGKILL)
    end = time.monotonic() + 20
    while supervisor.running:
        assert time.monotonic() < end
    assert session_processes(paths.session) == [orphan]
    stack._end([orphan])
    assert session_processes(paths.session) == []
    # The number of a session that is over may lead another one, whose processes are not the stack's.
    told = json.loads(paths.session.read_text())
    with subprocess.Popen(["sh", "-c", "sleep 600 & wait"], start_new_session=True) as other:
        try:
            paths.session.write_text(json.dumps({**told, "leader": other.pid}))
            assert session_processes(paths.session) == []
        finally:
            os.killpg(other.pid, signal.SIGKILL)


def test_a_process_is_ended_when_it_is_one_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its memory is given back when its program is gone already, which takes a while.
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    holds = 'memory = b"x" * (200 << 20); print("ready", flush=True); import time; time.sleep(600)'
    with subprocess.Popen([sys.executable, "-c", holds], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        stack._end([process.pid])
        ended = start_ticks(process.pid) is None
    assert ended


def test_a_job_that_outlived_its_run_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from operators.local_job import LocalJob
    from tasks.contract import Spec

    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 600\n")
    python.chmod(0o755)
    LocalJob(tmp_path / "jobs" / "key").submit(python, Spec(task="none"), {"PATH": os.environ["PATH"]})
    pid = json.loads((tmp_path / "jobs" / "key" / "job.json").read_text())["pid"]
    stack._end_jobs()
    end = time.monotonic() + 10
    while (state := Path(f"/proc/{pid}/stat").read_text().split()[2]) != "Z":
        assert time.monotonic() < end, f"process {pid} is still {state}"
        time.sleep(0.05)

"""One round: publish a model that nobody has seen, release it, kill somebody, let it recover, and check everything."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import stack
from deploy.local.airflow_api import DagRun
from deploy.local.hub_repository import publish
from deploy.local.settings import mirror_roots
from tasks.release.current import read_current
from tasks.release.record import read_release
from tasks.store.artifacts import is_whole
from tasks.store.recovery import recover_all
from tests.chaos import invariants
from tests.chaos.faults import AIRFLOW, CONVERTING, MOMENTS, RANDOM, TOOL_RUNS, Fault
from tests.chaos.model import write_variant
from tests.chaos.processes import Start, kill
from tests.chaos.stack import ChaosStack
from tests.chaos.strike import strike_at
from tests.fixtures.faulty_proxy import FaultyProxy

MODEL = "chaos/tiny"
DAG = "release_chaos"
RUN_SECONDS = 420
"""A run that has not ended by then does not recover: the slowest recovery seen took a third of this."""

SETTLE_SECONDS = 60
LOOK_SECONDS = 0.05


@dataclass
class Outcome:
    """What came of a round; `wrong` is empty where every invariant held."""

    fault: Fault
    recovered: str
    seconds: float
    wrong: list[str]


@dataclass
class Kill:
    """A kill that is to come. Then `done` is set, and `running` are the jobs that ran; `ended`: it is too late."""

    chaos: ChaosStack
    fault: Fault
    done: bool = False
    running: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Kill":
        if moment := MOMENTS.get(self.fault.moment):
            self._planted = self._proxy().fail(moment.matches, strike_at(moment.when, self._kill), times=1)
        else:
            self._thread = threading.Thread(target=self._wait, args=(len(self.chaos.watcher.starts()),), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        if self.fault.moment in MOMENTS:
            self._proxy().remove(self._planted)
        else:
            self._thread.join()

    def _proxy(self) -> FaultyProxy:
        return self.chaos.s3 if MOMENTS[self.fault.moment].server == "s3" else self.chaos.mlflow

    def _kill(self, job: int) -> None:
        self._end(self._victim(job))

    def _end(self, victim: int) -> None:
        self.running = {start.job for start in self.chaos.watcher.running()}
        kill(victim)
        self.done = True

    def _victim(self, job: int) -> int:
        match self.fault.victim:
            case "job":
                return job
            case "task":
                return self.chaos.ancestor(job, 1)
            case "worker":
                return self.chaos.ancestor(job, 2)
            case "scheduler":
                return self.chaos.component("airflow-scheduler")
            case component:
                return self.chaos.component(component)

    def _wait(self, known: int) -> None:
        due = time.monotonic() + self.fault.after
        while not self.ended.wait(LOOK_SECONDS):
            if time.monotonic() < due:
                continue
            try:
                if self._strike([start for start in self.chaos.watcher.starts()[known:] if start.process.alive()]):
                    return
            except ProcessLookupError:
                # It has just ended by itself: the next one will do.
                continue

    def _strike(self, running: list[Start]) -> bool:
        """Kill the victim if its moment has come."""
        moment, victim = self.fault.moment, self.fault.victim
        if moment == RANDOM and victim in ("scheduler", "s3", "mlflow"):
            self._kill(0)
            return True
        for start in running:
            if moment in (CONVERTING, TOOL_RUNS) and start.task != "convert":
                continue
            if moment != TOOL_RUNS:
                self._kill(start.process.pid)
                return True
            for tool in reversed(start.children()):
                self._end(tool)
                return True
        return False


def play(chaos: ChaosStack, fault: Fault, seed: str, folder: Path) -> Outcome:
    """Play one round; `seed` makes its model, `folder` is where it is written."""
    commit = publish(mirror_roots(), MODEL, write_variant(folder, seed, fault.wide))
    starts, manifests = len(chaos.watcher.starts()), len(chaos.manifests)
    known = {manifest.key for manifest in invariants.manifests_in(chaos.store)}
    conf = {"model": MODEL, "revision": commit}
    chaos.airflow.wait_for_dag(DAG)
    began = time.monotonic()
    with Kill(chaos, fault) as killing:
        run = _finished(chaos, chaos.airflow.trigger(DAG, conf))
    recovered = _how(chaos, run)
    wrong = [] if killing.done else [f"the moment of {fault} never came"]
    if run.state != "success":
        stopped = chaos.airflow.xcom(DAG, run.dag_run_id, "conclude", key="failure")
        run = _finished(chaos, chaos.airflow.trigger(DAG, conf))
        recovered = f"run again after: {stopped}"
    if run.state != "success":
        said = chaos.airflow.xcom(DAG, run.dag_run_id, "conclude", key="failure")
        wrong.append(f"the release did not recover: {run.state}, {said}")
    seconds = time.monotonic() - began
    played = chaos.watcher.starts()[starts:]
    wrong += [*_settled(chaos), *_consistent(chaos, run, known)]
    wrong += invariants.redone(chaos.manifests[manifests:], played)
    if fault.victim in AIRFLOW:
        wrong += invariants.restarted(played, killing.running)
    return Outcome(fault, recovered, seconds, wrong)


def _finished(chaos: ChaosStack, run_id: str) -> DagRun:
    """Return a run when it has ended, or as it is when it ought to have."""
    end = time.monotonic() + RUN_SECONDS
    while True:
        run = chaos.airflow.dag_run(DAG, run_id)
        if run.finished or time.monotonic() > end:
            return run
        time.sleep(0.5)


def _how(chaos: ChaosStack, run: DagRun) -> str:
    tasks = chaos.airflow.task_instances(DAG, run.dag_run_id)
    tried = [f"{task.task_id} ({task.try_number} tries)" for task in tasks if task.try_number > 1]
    return "retry of " + ", ".join(sorted(tried)) if tried else "no task was tried again"


def _settled(chaos: ChaosStack) -> list[str]:
    """What is not as before the round: components that are away, and whatever was left behind."""
    end = time.monotonic() + SETTLE_SECONDS
    while (wrong := [*_unready(), *_left(chaos)]) and time.monotonic() < end:
        time.sleep(0.5)
    return wrong


def _unready() -> Iterator[str]:
    for component in stack.status():
        if component.state != "ready":
            yield f"{component.name} did not come back: {component.state}"


def _left(chaos: ChaosStack) -> Iterator[str]:
    yield from invariants.left_behind("a process", chaos.leftover_processes())
    yield from invariants.left_behind("a scratch folder", chaos.scratch_folders())
    yield from invariants.left_behind("a multipart upload", chaos.uploads())


def _consistent(chaos: ChaosStack, run: DagRun, known: set[str]) -> Iterator[str]:
    """What is wrong in the store and in the registry; artifacts that were there before the round are `known`."""
    manifests = invariants.manifests_in(chaos.store)
    made = {manifest.key for manifest in manifests}
    yield from invariants.damaged(chaos.store, [manifest for manifest in manifests if manifest.key not in known])
    yield from (
        f"the artifact {manifest.key} of an earlier round is not whole any more"
        for manifest in manifests
        if manifest.key in known and not is_whole(chaos.store, manifest)
    )
    # What died in work that was finished since is swept by then; the rest, which nobody goes on with, by the sweep.
    strays = invariants.strays(chaos.store, manifests)
    yield from (stray for stray in strays if stray.split("/")[1] in made)
    recover_all(chaos.store)
    yield from invariants.strays(chaos.store, invariants.manifests_in(chaos.store))
    versions = [
        invariants.Version(
            found.name,
            str(found.version),
            found.tags.get("hallmark.release", ""),
            found.tags.get("hallmark.files_digest", ""),
        )
        for found in chaos.registry.search_model_versions()
    ]
    yield from invariants.registered_twice(versions)
    registered = chaos.airflow.xcom(DAG, run.dag_run_id, "register")
    if registered is None:
        yield "register told nothing"
        return
    release = read_release(chaos.store, registered["facts"]["release"])
    yield from invariants.unregistered(release, versions)
    current = read_current(chaos.store, MODEL)
    aliases = {name: chaos.registry.get_registered_model(name).aliases for name in current.names}
    yield from invariants.disagreeing(current, release, aliases)

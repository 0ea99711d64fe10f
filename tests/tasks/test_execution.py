"""A task is done once, and what fails leaves nothing behind."""

import dataclasses
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tasks import definitions, execution
from tasks.contract import PROVISIONAL, Result, Spec
from tasks.errors import (
    LONGEST_MESSAGE,
    AccessDenied,
    Corrupt,
    CredentialsExpired,
    DiskFull,
    InvalidRecipe,
    NotFound,
    Refused,
    StoreUnavailable,
    TerminalError,
    Unsupported,
)
from tasks.execution import finished, prepare, run
from tasks.host import timing_lock as timing_lock_module
from tasks.host.file_lock import exclusive_lock
from tasks.host.processor import processor
from tasks.host.timing_lock import timing_lock
from tasks.manifest import Cost, FileEntry, manifest_name
from tasks.store import unsent
from tasks.store.artifacts import read_manifest
from tasks.store.cache import WorkerCache
from tasks.store.local import LocalStore
from tests.tasks.probe import KEYED

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, and the tasks `probe` and `unkeyed`."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "state"))
    # The host's own lock may be held by a release that runs beside the tests.
    monkeypatch.setattr(timing_lock_module, "FOLDER", tmp_path)
    unkeyed = dataclasses.replace(KEYED, name="unkeyed", keyed=False)
    for definition in (KEYED, unkeyed):
        monkeypatch.setitem(definitions.FIXED, definition.name, definition)
    return tmp_path / "state"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def spec(task: str = "probe", force: bool = False, inputs: dict[str, str] | None = None, **parameters: str) -> Spec:
    return Spec(task=task, parameters=parameters, inputs=inputs or {}, force=force, threads=3)


@pytest.mark.parametrize(("threads", "alone"), [(1, False), (8, False), (None, True)])
def test_a_task_of_a_pool_works_under_the_hosts_lock(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, threads: int | None, alone: bool
) -> None:
    taken = watch_lock(monkeypatch)
    monkeypatch.setitem(definitions.FIXED, "probe", dataclasses.replace(KEYED, threads=threads))
    assert not run(spec(), store).reused and taken == [alone]
    assert run(spec(), store).reused and taken == [alone], "what is found done waits for nothing"


def test_a_light_task_takes_no_lock(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = watch_lock(monkeypatch)
    run(spec("unkeyed"), store)
    assert taken == []


def watch_lock(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return the list that gets, for each time the host's lock is taken, whether it is taken alone."""
    taken: list[bool] = []

    @contextmanager
    def lock(alone: bool, on_wait: object) -> Iterator[None]:
        taken.append(alone)
        yield

    monkeypatch.setattr(execution, "timing_lock", lock)
    monkeypatch.setattr(execution, "POOLED", {"probe"})
    return taken


def test_a_wait_for_the_host_is_reported(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(execution, "POOLED", {"probe"})
    # A process that is forked under a lock would hold it, too.
    held = FORK.Event()
    waiting = FORK.Process(target=lambda: (held.wait(60), run(spec(), store)))
    waiting.start()
    said, deadline = "", time.monotonic() + 60
    with timing_lock(True, lambda: None):
        held.set()
        while "Waiting for the end of a timing that runs on this host." not in said:
            said += capfd.readouterr().err
            assert time.monotonic() < deadline
    waiting.join(60)
    assert waiting.exitcode == 0


def test_a_timing_names_its_hardware(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(definitions.FIXED, "probe", dataclasses.replace(KEYED, hardware=True, timing=True))
    with pytest.raises(InvalidRecipe, match="depends on the hardware; name it as 'hardware'"):
        prepare(spec(), store)
    # By hand it is this host's processor, and the same spec with that name finds the work done.
    assert not run(spec(), store).reused
    assert run(spec().model_copy(update={"hardware": processor()}), store).reused
    assert not run(spec().model_copy(update={"hardware": processor(), "threads": 32}), store).reused


def names(store: LocalStore) -> list[str]:
    return [found.name for found in store.list("")]


def test_an_input_that_was_removed_is_named_with_what_to_do(store: LocalStore) -> None:
    with pytest.raises(
        NotFound, match=r"^The input 'snapshot' .* holds no artifacts/1+\.json; clear the task that made"
    ):
        run(spec(inputs={"snapshot": "1" * 64}), store)


def test_a_task_leaves_an_artifact_with_its_history(store: LocalStore) -> None:
    first = run(spec(word="first"), store)
    assert first.artifact
    second = run(spec(word="second", inputs={"snapshot": first.artifact}), store)
    assert second.artifact and not second.reused
    assert second.facts == {"length": 6, "read": {"snapshot": ["word.txt"]}, "threads": 3}
    manifest = read_manifest(store, second.artifact)
    assert store.get_bytes(f"{manifest.prefix}word.txt") == b"second"
    assert manifest.inputs == {"snapshot": first.artifact} and manifest.kind == "probe"
    assert manifest.parameters == {"word": "second", "do": "finish", "log": None}
    assert manifest.versions["probe"] == "1" and manifest.versions["python"].startswith("3.")
    assert manifest.facts == second.facts and manifest.cost == second.cost


def test_what_is_made_is_not_made_again(store: LocalStore, log: Path) -> None:
    made = run(spec(log=str(log)), store)
    again = run(spec(log=str(log)), store)
    assert again.reused and again.model_copy(update={"reused": False}) == made
    assert len(log.read_text().splitlines()) == 1
    assert finished(prepare(spec(log=str(log)), store), store) == again


def test_force_makes_it_anew_and_leaves_what_others_point_at(store: LocalStore, log: Path) -> None:
    made = run(spec(log=str(log)), store)
    assert made.artifact
    before = read_manifest(store, made.artifact)
    again = run(spec(log=str(log), force=True), store)
    assert not again.reused and again.artifact == made.artifact
    assert len(log.read_text().splitlines()) == 2
    assert read_manifest(store, made.artifact).attempt != before.attempt
    assert store.stat(f"{before.prefix}word.txt"), "a registered version may have its files there"


def test_a_provisional_artifact_is_kept_for_its_own_run_alone(store: LocalStore, log: Path) -> None:
    first = run(spec(do="provisional", log=str(log)), store)
    assert first.artifact and not first.reused
    manifest = read_manifest(store, first.artifact)
    assert manifest.facts == {PROVISIONAL: "the word was disturbed"}
    assert store.get_bytes(f"{manifest.prefix}word.txt") == b"word", "later tasks of the run read it"
    assert finished(prepare(spec(do="provisional", log=str(log)), store), store) is None
    second = run(spec(do="provisional", log=str(log)), store)
    assert second.artifact not in (None, first.artifact) and not second.reused
    assert len(log.read_text().splitlines()) == 2, "a later run does the task again"


def test_a_provisional_output_that_was_not_sent_is_provisional_when_it_is_sent(
    store: LocalStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "put_file", raises(AccessDenied("check them.")))
        with pytest.raises(AccessDenied):
            run(spec(do="provisional", log=str(log)), store)
    assert run(spec(do="provisional", log=str(log)), store).facts == {PROVISIONAL: "the word was disturbed"}
    assert len(log.read_text().splitlines()) == 1
    assert finished(prepare(spec(do="provisional", log=str(log)), store), store) is None


def test_an_artifact_that_lost_a_file_is_made_again(store: LocalStore) -> None:
    made = run(spec(), store)
    assert made.artifact
    store.delete(f"{read_manifest(store, made.artifact).prefix}word.txt")
    assert not run(spec(), store).reused
    assert run(spec(), store).reused


@pytest.mark.parametrize(
    ("do", "error"),
    [("corrupt", Corrupt), ("bug", RuntimeError), ("nothing", TerminalError), ("link", TerminalError)],
)
def test_a_task_that_fails_leaves_nothing(store: LocalStore, state: Path, do: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(spec(do=do), store)
    assert names(store) == []
    assert list((state / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    "interruption",
    [
        CredentialsExpired("renew them."),
        AccessDenied("check them."),
        StoreUnavailable("away."),
        DiskFull("full."),
        InvalidRecipe("correct its address."),
        Unsupported("change its setting."),
        SystemExit(143),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("at", ["first file", "second file", "manifest"])
def test_a_finished_output_that_was_not_sent_is_sent_by_the_next_try(
    store: LocalStore, state: Path, log: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException, at: str
) -> None:
    """What took hours is not made again because the store refused it, or because the task was killed."""
    monkeypatch.setattr("tasks.retry.sleep", lambda _: None)
    honest = LocalStore.put_file
    sent: list[str] = []

    def interrupted(self: LocalStore, name: str, source: Path) -> FileEntry:
        sent.append(name)
        if at != "manifest" and len(sent) > (at == "second file"):
            raise interruption
        return honest(self, name, source)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "put_file", interrupted)
        if at == "manifest":
            patch.setattr(execution, "complete_attempt", raises(interruption))
        with pytest.raises(type(interruption)):
            run(spec(do="large", log=str(log)), store)
    assert names(store) == [], "nothing half-made is in the store"
    result = run(spec(do="large", log=str(log)), store)
    assert not result.reused and len(log.read_text().splitlines()) == 1
    assert result.artifact
    manifest = read_manifest(store, result.artifact)
    assert [entry.path for entry in manifest.files] == ["large", "word.txt"]
    assert manifest.facts == {"length": 4, "read": {}, "threads": 3} and manifest.versions["probe"] == "1"
    assert list((state / "unsent").iterdir()) == list((state / "scratch").iterdir()) == []


def raises(error: BaseException) -> Callable[..., None]:
    def function(*_: object) -> None:
        raise error

    return function


def test_facts_are_bounded(store: LocalStore, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository may have a hundred thousand tensors with long names, and Airflow's database keeps all facts."""
    monkeypatch.setattr("tests.tasks.probe.probe", lambda *_: {"names": ["x" * 200] * 100_000, "count": 1})
    with pytest.raises(Refused, match=r"take 20400\d+ characters, beyond the limit of 1000000, most .* for 'names'"):
        run(spec(), store)
    assert names(store) == [] and not (state / "unsent").exists()


def test_force_makes_again_what_was_finished_but_not_sent(
    store: LocalStore, state: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "put_file", raises(AccessDenied("check them.")))
        with pytest.raises(AccessDenied):
            run(spec(log=str(log)), store)
    run(spec(force=True, log=str(log)), store)
    assert len(log.read_text().splitlines()) == 2
    assert list((state / "unsent").iterdir()) == []


def test_a_forced_run_sends_what_it_has_finished_itself(
    store: LocalStore, state: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (
        spec(force=True, log=str(log)).model_copy(update={"forced_by": run_id}) for run_id in ("first", "second")
    )
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "put_file", raises(CredentialsExpired("renew them.")))
        for given in (spec(log=str(log)), first):
            with pytest.raises(CredentialsExpired):
                run(given, store)
    assert len(log.read_text().splitlines()) == 2, "it does not take what another run has made"
    sent = run(first, store)
    assert not sent.reused and len(log.read_text().splitlines()) == 2
    assert list((state / "unsent").iterdir()) == []
    run(second, store)
    run(first, store)
    assert len(log.read_text().splitlines()) == 4, "what was sent is made again"


NOT_KEPT: list[tuple[Spec, Exception]] = [
    (spec(), Corrupt("no.")),
    (spec("unkeyed"), AccessDenied("check them.")),
    (spec(force=True), AccessDenied("check them.")),
]


@pytest.mark.parametrize(("given", "error"), NOT_KEPT, ids=["no fault of the store", "not keyed", "forced by hand"])
def test_an_output_that_no_retry_can_send_is_not_kept(
    store: LocalStore,
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    given: Spec,
    error: Exception,
) -> None:
    monkeypatch.setattr(LocalStore, "put_file", raises(error))
    with pytest.raises(type(error)):
        run(given, store)
    assert list((state / "unsent").iterdir()) == []
    assert "is kept on this host" not in capfd.readouterr().err


@pytest.mark.parametrize("room", [True, False])
def test_the_log_says_that_a_finished_output_is_kept(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], room: bool
) -> None:
    monkeypatch.setattr(LocalStore, "put_file", raises(CredentialsExpired("renew them.")))
    if not room:
        # On a full disk, the output is sent from the scratch folder, which goes with the task.
        made = unsent.Finished(facts={}, versions={}, cost=Cost(), boot="", sizes={})
        monkeypatch.setattr(unsent, "keep", lambda name, output, *_: (output, made))
    with pytest.raises(CredentialsExpired):
        run(spec(), store)
    said = "The finished output is kept on this host for 3 days. The next try of this task sends it."
    assert (said in capfd.readouterr().err) == room


def broken(*_: object) -> None:
    raise OSError("planted fault")


def test_a_manifest_that_cannot_be_written_leaves_no_files(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "complete_attempt", broken)
    with pytest.raises(OSError, match="planted"):
        run(spec(), store)
    assert names(store) == []


def test_a_last_write_that_may_have_been_taken_takes_nothing_away(
    store: LocalStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(execution, "write_manifest", broken)
        with pytest.raises(OSError, match="planted"):
            run(spec(log=str(log)), store)
    assert run(spec(log=str(log)), store).reused
    assert len(log.read_text().splitlines()) == 1


def test_a_store_that_is_away_does_not_hide_why_a_task_failed(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("the store is away.")

    monkeypatch.setattr(execution, "remove_attempt", away)
    with pytest.raises(TerminalError, match="not a plain file"):
        run(spec(do="link"), store)


def test_what_is_not_keyed_is_done_each_time_and_kept_apart(store: LocalStore, log: Path) -> None:
    first, second = (run(spec("unkeyed", log=str(log)), store) for _ in range(2))
    assert len(log.read_text().splitlines()) == 2
    assert first.artifact and second.artifact and first.artifact != second.artifact
    for result in (first, second):
        assert read_manifest(store, str(result.artifact)).facts == result.facts
    assert not first.reused and not second.reused


def test_what_is_not_keyed_may_have_nothing_to_keep(store: LocalStore) -> None:
    assert run(spec("unkeyed", do="nothing"), store).artifact is None
    assert names(store) == []


def test_two_with_one_key_at_once_work_once(store: LocalStore, log: Path) -> None:
    results = FORK.Queue()
    workers = [FORK.Process(target=_run, args=(spec(do="slow", log=str(log)), store, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    told = [Result.from_json(results.get(timeout=60)) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(result.reused for result in told) == [False, True, True]
    assert len({result.artifact for result in told}) == 1
    assert len(log.read_text().splitlines()) == 1


def _run(given: Spec, store: LocalStore, results: "multiprocessing.Queue[str]") -> None:
    results.put(run(given, store).to_json())


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (spec("prob"), InvalidRecipe, "no task 'prob' .did you mean 'probe'"),
        (spec("convert"), InvalidRecipe, "task 'convert' needs a parameter 'target'"),
        (spec(wrong="x"), InvalidRecipe, "task 'probe' has a wrong parameter: there is no field 'wrong'"),
        (spec(inputs={"snapshot": "1" * 64}), NotFound, manifest_name("1" * 64)),
    ],
)
def test_a_wrong_spec_is_reported_before_anything_is_done(
    store: LocalStore, given: Spec, error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions, "TASK_NAMES", [*definitions.TASK_NAMES, "probe"])
    with pytest.raises(error, match=said):
        run(given, store)
    assert names(store) == []


def test_a_cache_on_another_disk_is_reported_before_anything_is_done(store: LocalStore, state: Path, log: Path) -> None:
    state.mkdir()
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (state / "cache").symlink_to(elsewhere)
        with pytest.raises(InvalidRecipe, match="on two file systems"):
            run(spec(log=str(log)), store)
    assert not log.exists()


@pytest.mark.parametrize("do", ["finish", "bug"])
def test_no_lock_file_is_left(store: LocalStore, state: Path, do: str) -> None:
    locks = state / "locks"
    locks.mkdir(parents=True)
    (locks / f"{'1' * 64}.lock").touch()
    with exclusive_lock(locks / f"{'2' * 64}.lock"):
        if do == "finish":
            run(spec(), store)
        else:
            with pytest.raises(RuntimeError):
                run(spec(do=do), store)
        assert [path.name for path in locks.iterdir()] == [f"{'2' * 64}.lock"], "only that of a living process"


def test_progress_shows_a_repetition_once_a_second_and_the_last(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter((0.0, 0.1, 0.2, 1.05, 1.1, 1.2, 1.3))
    monkeypatch.setattr("tasks.execution.time.monotonic", lambda: next(now))
    context = execution.ProcessContext({}, tmp_path, tmp_path, 1, "", LocalStore(tmp_path), WorkerCache(tmp_path, 1))
    for tensor in (1, 2, 3, 4):
        context.progress("quantizing", tensor / 5)
    context.progress("checking", 0.9)
    context.progress("quantizing", 0.95)
    context.progress("quantizing", 1.0)
    lines = [line.split(" ", 1)[1].strip() for line in capfd.readouterr().err.splitlines()]
    assert lines == ["20% quantizing", "80% quantizing", "90% checking", "95% quantizing", "100% quantizing"]


def test_each_line_of_a_text_is_cut_by_itself(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    context = execution.ProcessContext({}, tmp_path, tmp_path, 1, "", LocalStore(tmp_path), WorkerCache(tmp_path, 1))
    rows = [f"row {number} {'x' * (3 * LONGEST_MESSAGE)} end {number}" for number in range(3)]
    context.progress("\n".join(["heading", *rows]))
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(" ", 1)[1][:7] for line in lines] == ["heading", "row 0 x", "row 1 x", "row 2 x"]
    assert [line[-5:] for line in lines[1:]] == ["end 0", "end 1", "end 2"]
    assert all(len(line) <= LONGEST_MESSAGE + len("00:00:00 ") for line in lines)

"""Old job folders are removed, those of running jobs and of late are not, and whoever comes meanwhile is not harmed."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from operators import job_cleanup
from operators.job_cleanup import KEPT_DAYS, sweep_jobs
from operators.local_job import LocalJob
from tasks.host.file_lock import exclusive_lock
from tasks.host.process_group import end
from tests.operators.jobs import interpreter, spec

LONG_AGO = time.time() - (KEPT_DAYS + 1) * 24 * 3600


def finished(folder: Path, python: Path) -> LocalJob:
    job = LocalJob(folder)
    job.submit(python, spec(), {"PATH": os.environ["PATH"]})
    assert job.wait(lambda line: None).failure is None
    return job


def test_what_is_old_goes_and_what_is_new_or_runs_stays(tmp_path: Path) -> None:
    jobs, python = tmp_path / "jobs", interpreter(tmp_path)
    for name in ("old", "new"):
        finished(jobs / name, python)
    running = LocalJob(jobs / "running")
    running.submit(python, spec(until="never"), {"PATH": os.environ["PATH"]})
    for name in ("old", "running"):
        os.utime(jobs / name, (LONG_AGO, LONG_AGO))
    (jobs / ".half").mkdir()
    sweep_jobs(jobs)
    assert sorted(folder.name for folder in jobs.iterdir()) == ["new", "running"]
    assert (jobs / "running" / "log.txt").exists()
    running.kill()
    running.wait(lambda line: None)


def test_a_folder_that_somebody_is_just_starting_in_stays(tmp_path: Path) -> None:
    finished(tmp_path / "jobs" / "old", interpreter(tmp_path))
    with exclusive_lock(tmp_path / "jobs" / "old" / "lock"):
        os.utime(tmp_path / "jobs" / "old", (LONG_AGO, LONG_AGO))
        sweep_jobs(tmp_path / "jobs")
        assert (tmp_path / "jobs" / "old" / "log.txt").exists()


def test_a_folder_whose_job_somebody_has_yet_to_see_end_stays(tmp_path: Path) -> None:
    folder, python = tmp_path / "jobs" / "old", interpreter(tmp_path)
    job = LocalJob(folder)
    job.submit(python, spec(), {"PATH": os.environ["PATH"]})
    assert job._child
    # It is over, and is left unreaped.
    os.waitid(os.P_PID, job._child.pid, os.WEXITED | os.WNOWAIT)
    os.utime(folder, (LONG_AGO, LONG_AGO))
    sweep_jobs(folder.parent)
    assert job.wait(lambda line: None).failure is None
    os.utime(folder, (LONG_AGO, LONG_AGO))
    sweep_jobs(folder.parent)
    assert not folder.exists()


def test_a_folder_goes_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts the job anew while its files are being removed works in a new folder."""
    old = tmp_path / "jobs" / "old"
    finished(old, interpreter(tmp_path))
    os.utime(old, (LONG_AGO, LONG_AGO))
    there: list[bool] = []
    monkeypatch.setattr("operators.job_cleanup.shutil.rmtree", lambda *_, **__: there.append(old.exists()))
    sweep_jobs(tmp_path / "jobs")
    assert there == [False]


def test_no_folder_is_no_error(tmp_path: Path) -> None:
    sweep_jobs(tmp_path / "jobs")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_sweep_removes_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "glob", lambda folder, _: iter([folder / "gone"]))
    sweep_jobs(tmp_path)
    assert list(tmp_path.iterdir()) == []


def _sweep_again_and_again(jobs: Path, until: Path) -> None:
    while not until.exists():
        sweep_jobs(jobs)


def test_jobs_start_while_everything_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no days of grace, every folder goes as soon as nothing runs in it."""
    monkeypatch.setattr(job_cleanup, "KEPT_DAYS", -1)
    jobs, python = tmp_path / "jobs", interpreter(tmp_path)
    sweeper = multiprocessing.get_context("fork").Process(target=_sweep_again_and_again, args=(jobs, tmp_path / "end"))
    sweeper.start()
    try:
        for _ in range(20):
            job = LocalJob(jobs / "job")
            job.submit(python, spec(until="never"), {"PATH": os.environ["PATH"]})
            assert job._process and job._process.alive() and job._child
            assert {"spec.json", "job.json", "log.txt"} <= {path.name for path in job.folder.iterdir()}
            end(job._process.pid)
            job._child.wait()
    finally:
        (tmp_path / "end").touch()
        sweeper.join()

"""Airflow's configuration follows the settings, and every option of it exists."""

from pathlib import Path

import pytest
from airflow.configuration import conf, retrieve_configuration_description

from deploy.local.credentials import make_credentials
from deploy.local.programs import programs
from deploy.local.settings import stack_paths, stack_settings
from tasks.pools import declared_pools
from tasks.runtimes import environments


def scheduler(state: Path, settings: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the environment of the scheduler with these settings."""
    monkeypatch.setenv("HALLMARK_ENVS", str(environments()))
    monkeypatch.setenv("HALLMARK_HOME", str(state))
    (state / "settings.toml").write_text(settings)
    made = programs(stack_settings(), stack_paths(), make_credentials(stack_paths()), declared_pools())
    (found,) = (program for program in made if program.name == "airflow-scheduler")
    return found.environment


def test_the_installed_airflow_knows_every_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow ignores an option that it does not know."""
    known = retrieve_configuration_description()
    named = [name.split("__")[1:] for name in scheduler(tmp_path, "", monkeypatch) if name.startswith("AIRFLOW__")]
    assert len(named) > 20
    unknown = [name for name in named if name[1].lower() not in known.get(name[0].lower(), {}).get("options", {})]
    assert unknown == []


@pytest.mark.parametrize(
    ("pools", "workers"),
    [("", 2 + 2), ("gpus = 1\n", 2 + 1 + 2), ("[pools.big]\nslots = 12\n[pools.small]\nslots = 3\n", 12 + 3 + 2)],
    ids=["this host's cores", "a GPU too", "declared"],
)
def test_there_is_a_worker_for_every_slot_of_the_pools(
    pools: str, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = scheduler(tmp_path, f"[host]\ncores = 2\n{pools}", monkeypatch)
    assert environment["AIRFLOW__CORE__PARALLELISM"] == str(workers)


def test_a_task_outlasts_an_api_that_is_away_for_as_long_as_airflow_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor that has failed to send some heartbeats ends its task. Each is tried several times."""
    environment = scheduler(tmp_path, "", monkeypatch)
    failures, every, waits = (
        int(environment[f"AIRFLOW__{name}"])
        for name in (
            "WORKERS__MAX_FAILED_HEARTBEATS",
            "WORKERS__MIN_HEARTBEAT_INTERVAL",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT",
        )
    )
    pauses = conf.getint("workers", "execution_api_retries") - 1
    shortest = pauses * conf.getfloat("workers", "execution_api_retry_wait_min")
    # The time to the next heartbeat is counted from the first of the tries.
    assert failures * max(every, shortest) >= waits

"""What docs/your-own-airflow.md says of Airflow's configuration and of pools is what Airflow and Hallmark read."""

import configparser
import json
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from airflow.configuration import retrieve_configuration_description

from tasks.pools import REGISTRY_POOL, Pool, declared_pools
from tasks.settings import REPOSITORY

PAGE = (REPOSITORY / "docs" / "your-own-airflow.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def configuration() -> configparser.RawConfigParser:
    parsed = configparser.RawConfigParser()
    parsed.read_string(block("ini"))
    return parsed


@pytest.fixture
def pools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The slots of the pools that the page declares."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    (tmp_path / "settings.toml").write_text(block("toml"))
    return {pool.name: pool.slots for pool in declared_pools()}


def test_the_installed_airflow_knows_every_option(configuration: configparser.RawConfigParser) -> None:
    """Airflow ignores an option that it does not know."""
    known = retrieve_configuration_description()
    named = [(section, option) for section in configuration.sections() for option in configuration.options(section)]
    assert len(named) > 5
    assert [name for name in named if name[1] not in known.get(name[0], {}).get("options", {})] == []


def test_the_bundle_is_a_bundle(configuration: configparser.RawConfigParser) -> None:
    (bundle,) = json.loads(configuration["dag_processor"]["dag_bundle_config_list"])
    module, _, name = bundle["classpath"].rpartition(".")
    made = getattr(import_module(module), name)(name=bundle["name"], **bundle["kwargs"])
    assert str(made.path) == "/opt/hallmark"


def test_there_is_a_worker_for_every_slot(configuration: configparser.RawConfigParser, pools: dict[str, int]) -> None:
    assert configuration["core"].getint("parallelism") == sum(pools.values()) + 2


def test_the_commands_create_the_declared_pools(pools: dict[str, int]) -> None:
    made = {name: int(slots) for name, slots in re.findall(r"airflow pools set (\S+) (\d+)", PAGE)}
    assert made == {**pools, REGISTRY_POOL: 1}


def test_the_table_has_every_field_of_a_pool() -> None:
    _, _, table = PAGE.partition("| field | meaning | default |")
    fields = set(re.findall(r"^\| `(\w+)` \|", table.split("\n\n")[0], re.MULTILINE))
    assert fields == Pool.model_fields.keys() - {"name"}
    assert set(tomllib.loads(block("toml"))["pools"]["cpu"]) <= Pool.model_fields.keys()

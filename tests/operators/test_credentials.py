"""A secret goes to the one process that needs it, and to no other."""

import json
import os

import pytest

from operators.credentials import INHERITED, enter_store, store_environment, task_environment
from tasks.contract import TaskDefinition
from tasks.definitions import FIXED, OF_TARGET
from tasks.errors import InvalidRecipe
from tasks.formats.registry import FORMATS, load_format, parse_target

SECRETS = {"hub": "hf_planted", "mlflow": "mlflow-planted", "store": "store-planted"}
ONE_EACH = [parse_target(load_format(name).target_names[0]) for name in FORMATS]
DEFINITIONS = [
    *FIXED.values(),
    *(define(load_format(target.format), target) for define in OF_TARGET.values() for target in ONE_EACH),
]


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    store = {
        "conn_type": "aws",
        "login": "key-planted",
        "password": SECRETS["store"],
        "extra": {
            "endpoint_url": "http://127.0.0.1:9",
            "region_name": "here",
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
    }
    hub = {"conn_type": "http", "host": "http://hub.test", "password": SECRETS["hub"]}
    mlflow = {"conn_type": "http", "host": "mlflow.test", "port": 5, "login": "user", "password": SECRETS["mlflow"]}
    for name, value in {"store": store, "hub": hub, "mlflow": mlflow}.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_HALLMARK_{name.upper()}", json.dumps(value))


def given(definition: TaskDefinition) -> dict[str, str]:
    return task_environment(definition, 3, store_environment())


def test_the_stores_credentials_are_those_of_its_connection() -> None:
    assert store_environment() == {
        "AWS_ACCESS_KEY_ID": "key-planted",
        "AWS_SECRET_ACCESS_KEY": SECRETS["store"],
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_DEFAULT_REGION": "here",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9",
    }


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ({"host": "https://mlflow.acme", "port": 8443}, "https://mlflow.acme:8443"),
        ({"host": "https://mlflow.acme/models/", "port": 8443}, "https://mlflow.acme:8443/models/"),
        ({"host": "https://mlflow.acme:9", "port": 8443}, "https://mlflow.acme:9"),
        ({"host": "https://mlflow.acme"}, "https://mlflow.acme"),
        ({"host": "http://[::1]", "port": 5000}, "http://[::1]:5000"),
        ({"host": "mlflow.acme", "schema": "https", "port": 8443}, "https://mlflow.acme:8443"),
        ({"host": "mlflow.acme/models", "port": 5}, "http://mlflow.acme:5/models"),
        ({"host": "mlflow.acme:5", "port": 6}, "http://mlflow.acme:5"),
        ({"host": "mlflow.acme"}, "http://mlflow.acme"),
        ({"host": "http://mlflow.acme:x", "port": 5}, "http://mlflow.acme:x"),
    ],
    ids=str,
)
def test_an_address_has_the_port_of_its_connection(
    told: dict[str, object], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HUB", "MLFLOW"):
        monkeypatch.setenv(f"AIRFLOW_CONN_HALLMARK_{name}", json.dumps({"conn_type": "http", **told}))
    assert given(FIXED["fetch"])["HF_ENDPOINT"] == address
    assert given(FIXED["register"])["MLFLOW_TRACKING_URI"] == address


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda found: f"{found.name} {found.runtime}")
def test_only_those_that_reach_the_hub_or_the_registry_get_their_secrets(definition: TaskDefinition) -> None:
    environment = given(definition)
    assert (environment.get("HF_TOKEN") == SECRETS["hub"]) == (definition.name in ("pin", "fetch"))
    assert ("HF_HUB_OFFLINE" in environment) == (definition.name not in ("pin", "fetch"))
    registry = definition.name in ("preflight", "register", "report", "promote", "roll_back")
    assert (environment.get("MLFLOW_TRACKING_PASSWORD") == SECRETS["mlflow"]) == registry
    assert (environment.get("MLFLOW_TRACKING_URI") == "http://mlflow.test:5") == registry
    seen = {value for value in environment.values() if value in SECRETS.values()}
    assert seen == {SECRETS["store"]} | ({SECRETS["hub"]} if definition.name in ("pin", "fetch") else set()) | (
        {SECRETS["mlflow"]} if registry else set()
    )


def test_nothing_secret_is_taken_over_from_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = {
        "AIRFLOW__API__SECRET_KEY": "planted",
        "AIRFLOW__CORE__FERNET_KEY": "planted",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "planted",
        "HF_TOKEN": "planted",
        "MLFLOW_TRACKING_TOKEN": "planted",
        "AWS_SESSION_TOKEN": "planted",
        "GITHUB_TOKEN": "planted",
        "LD_PRELOAD": "planted",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    for definition in DEFINITIONS:
        environment = given(definition)
        assert "planted" not in environment.values()
        assert not [name for name in environment if name.startswith("AIRFLOW")]
    words = ("KEY", "SECRET", "TOKEN", "PASSWORD", "CONN", "AUTH")
    assert not [name for name in INHERITED if any(word in name for word in words)]


def test_a_task_runs_as_many_threads_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    environment = given(FIXED["reference"])
    assert (environment["OMP_NUM_THREADS"], environment["MKL_NUM_THREADS"]) == ("3", "3")
    assert environment["PATH"] == os.environ["PATH"]


def test_without_connections_there_is_nothing_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORE", "HUB", "MLFLOW"):
        monkeypatch.delenv(f"AIRFLOW_CONN_HALLMARK_{name}")
    assert store_environment() == {}
    for name in ("pin", "register"):
        environment = given(FIXED[name])
        assert not {"HF_TOKEN", "HF_ENDPOINT", "MLFLOW_TRACKING_URI", "AWS_SECRET_ACCESS_KEY"} & set(environment)


@pytest.mark.parametrize("extra", [{"role_arn": "arn:aws:iam::1:role/release"}, {"regionname": "x"}, {"verify": "/ca"}])
def test_an_extra_that_would_have_no_effect_is_refused(
    extra: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"conn_type": "aws", "login": "key", "password": "secret", "extra": {"region_name": "x", **extra}}
    monkeypatch.setenv("AIRFLOW_CONN_HALLMARK_STORE", json.dumps(told))
    with pytest.raises(InvalidRecipe) as raised:
        store_environment()
    said = str(raised.value)
    assert said.startswith(f"The extra of the connection 'hallmark_store' has {next(iter(extra))!r}, which Hallmark")
    assert "keep only endpoint_url, region_name, request_checksum_calculation, response_checksum_validation" in said


def test_an_empty_field_of_the_extra_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    extra: dict[str, object] = {"role_arn": "", "config_kwargs": {}, "endpoint_url": None}
    told = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_HALLMARK_STORE", json.dumps(told))
    assert store_environment() == {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_without_keys_the_store_is_reached_by_the_hosts_own_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HALLMARK_STORE", json.dumps({"conn_type": "aws", "extra": {"region_name": "x"}}))
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/token")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/release")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    assert store_environment() == {
        "AWS_DEFAULT_REGION": "x",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/run/token",
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/release",
    }


def test_temporary_keys_come_with_their_session(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"conn_type": "aws", "login": "key", "password": "secret", "extra": {"aws_session_token": "for-an-hour"}}
    monkeypatch.setenv("AIRFLOW_CONN_HALLMARK_STORE", json.dumps(told))
    assert store_environment()["AWS_SESSION_TOKEN"] == "for-an-hour"


def test_every_task_finds_the_way_out_of_a_closed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    given_to_all = {"HTTPS_PROXY": "http://proxy.test:3128", "no_proxy": "mlflow.test", "AWS_CA_BUNDLE": "/etc/ca.pem"}
    for name, value in given_to_all.items():
        monkeypatch.setenv(name, value)
    for definition in DEFINITIONS:
        assert given(definition).items() >= given_to_all.items()


def test_a_role_is_not_hidden_by_keys_that_airflow_has_for_other_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HALLMARK_STORE", json.dumps({"conn_type": "aws", "extra": {"region_name": "x"}}))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "other")
    enter_store()
    assert "AWS_ACCESS_KEY_ID" not in os.environ and os.environ["AWS_DEFAULT_REGION"] == "x"

"""Runs with everything logged that can be: the secrets of the connections are in nothing that is left.

Each is marked so that it can be nothing else. One run goes well, to the registry and back. The failures of the others
are those that quote: a store that refuses the key, a Hub that refuses the token, and a bug in Airflow's own process,
whose frames hold the credentials.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.fixtures.secret_search import Search
from tests.integration.dag.conftest import DagRunner
from tests.integration.dag.test_release import DEMO

pytestmark = [pytest.mark.stack, pytest.mark.servers]

MARKED = {
    "hub token": "hf_marked/Hub+Token=",
    "registry user": "marked-registry-user",
    "registry password": "marked/Registry&Password",
    "store secret": "marked/Store+Secret=",
    "fernet key": "bWFya2VkLWZlcm5ldC1rZXktb2YtMzItYnl0ZXMhISE=",
    "jwt secret": "marked-jwt-secret-of-the-execution-interface",
}
TALKATIVE = (
    "boto3",
    "botocore",
    "s3transfer",
    "urllib3",
    "httpx",
    "httpcore",
    "huggingface_hub",
    "mlflow",
    "operators",
)
EVERYTHING = {
    # Not the root's: `dag.test`, which these runs are made with, logs at that level what it is told to mask.
    "AIRFLOW__LOGGING__NAMESPACE_LEVELS": " ".join(f"{name}=DEBUG" for name in TALKATIVE),
    "AIRFLOW__CORE__FERNET_KEY": MARKED["fernet key"],
    "AIRFLOW__API_AUTH__JWT_SECRET": MARKED["jwt secret"],
    "HF_DEBUG": "1",
    "HF_HUB_VERBOSITY": "debug",
    "MLFLOW_LOGGING_LEVEL": "DEBUG",
    "PYTHONASYNCIODEBUG": "1",
}


@pytest.fixture
def marked(dag_runner: DagRunner, hub_mirror: Any, s3_server: Any) -> DagRunner:
    """The DAG with the marked secrets in its connections, in a real bucket whose secret is another."""
    hub = {"conn_type": "http", "host": hub_mirror.url, "password": MARKED["hub token"]}
    mlflow = {"conn_type": "http", "host": "http://127.0.0.1:9"}
    mlflow |= {"login": MARKED["registry user"], "password": MARKED["registry password"]}
    dag_runner.environment |= EVERYTHING | {
        "HALLMARK_STORE": f"s3://{s3_server.bucket}/secrets",
        "AIRFLOW_CONN_HALLMARK_HUB": json.dumps(hub),
        "AIRFLOW_CONN_HALLMARK_MLFLOW": json.dumps(mlflow),
        "AIRFLOW_CONN_HALLMARK_STORE": store(s3_server, MARKED["store secret"]),
    }
    return dag_runner


def store(server: Any, secret: str) -> str:
    extra = {"endpoint_url": server.url, "region_name": "us-east-1"}
    return json.dumps({"conn_type": "aws", "login": server.access_key, "password": secret, "extra": extra})


def test_a_release_that_goes_well_and_a_hub_that_refuses_the_token(
    marked: DagRunner, hub_mirror: Any, s3_server: Any, mlflow_server: Any
) -> None:
    """The first model is private, so the token was used; and the registry's login travelled to what talks to it."""
    files = {path.name: path for path in DEMO.iterdir() if path.is_file()}
    hub_mirror.add("acme/private", files, access={"private": True, "tokens": [MARKED["hub token"]]})
    hub_mirror.add("acme/locked", {"config.json": b"{}"}, access={"private": True, "tokens": ["hf_another"]})
    registry = {"conn_type": "http", "host": mlflow_server.url}
    registry |= {"login": MARKED["registry user"], "password": MARKED["registry password"]}
    ended, refused = marked.release(
        {"model": "acme/private", "targets": ["gguf-q8_0"]},
        {"model": "acme/locked"},
        AIRFLOW_CONN_HALLMARK_STORE=store(s3_server, s3_server.secret_key),
        AIRFLOW_CONN_HALLMARK_MLFLOW=json.dumps(registry),
    )
    assert ended.state == "success", ended.failure
    assert ended.facts("promote")["champions"] == {"acme--private--gguf-q8_0": "1"}
    check(marked, "challenger", used=s3_server.secret_key)
    assert refused.state == "failed" and "may not read it" in refused.failure["pin"]
    check(marked, "may not read it", used=s3_server.secret_key)
    search = Search(MARKED | {"used": s3_server.secret_key})
    client = s3_server.client()
    listed = client.list_objects_v2(Bucket=s3_server.bucket, Prefix="secrets/")["Contents"]
    assert any("/current.json" in each["Key"] for each in listed)
    for each in listed:
        data = client.get_object(Bucket=s3_server.bucket, Key=each["Key"])["Body"].read()
        assert search.bytes(data, each["Key"]) == []
    registered = MlflowClient(mlflow_server.url)
    run = registered.get_run(ended.facts("register")["mlflow_run"])
    version = registered.get_model_version("acme--private--gguf-q8_0", "1")
    assert search.text(f"{run.to_dictionary()} {dict(version)}", "MLflow") == []


def check(runner: DagRunner, said: str, **more: str) -> None:
    """What is said is told in what Airflow wrote, and no secret is anywhere below the test's folder."""
    search = Search(MARKED | more)
    assert [line for line in runner.log.splitlines() if search.text(line, "what the run printed")] == []
    assert search.folder(runner.home.parent) == []
    logs = [path.read_text(errors="replace") for path in (runner.home.parent / "airflow" / "logs").rglob("*.log")]
    assert any(said in text for text in [runner.log, *logs]), runner.log[-3000:]


def test_a_store_that_refuses_the_key(marked: DagRunner, hub_mirror: Any) -> None:
    hub_mirror.add("acme/open", {path.name: path for path in DEMO.iterdir() if path.is_file()})
    (ended,) = marked.release({"model": "acme/open"})
    assert ended.state == "failed" and "check its credentials" in ended.failure["fetch"]
    check(marked, "check its credentials")


def test_a_bug_whose_traceback_passes_through_the_credentials(
    marked: DagRunner, s3_server: Any, tmp_path: Path
) -> None:
    broken = tmp_path / "envs" / "control" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.write_text("no program")
    (ended,) = marked.release(
        {"model": "acme/any"},
        AIRFLOW_CONN_HALLMARK_STORE=store(s3_server, s3_server.secret_key),
        HALLMARK_ENVS=str(tmp_path / "envs"),
        HALLMARK_TEST_RETRIES="0",
    )
    assert ended.state == "failed"
    check(marked, "PermissionError", used=s3_server.secret_key)

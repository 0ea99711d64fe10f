"""The running stack is closed to everybody but its owner: other users, other machines, web pages, wrong passwords."""

import stat
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from deploy.local.airflow_api import AirflowApi, AirflowRefused
from deploy.local.session import descendants
from tests.fixtures.stack import SERVICES

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

ANSWERS = {
    "airflow": "/api/v2/version",
    "mlflow": "/api/2.0/mlflow/experiments/search",
    "s3": "/",
    "hub": "/healthz",
}


def answer(address: str, headers: dict[str, str], method: str = "GET", data: bytes | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(address, headers=headers, method=method, data=data)
    try:
        with urllib.request.urlopen(request) as answered:
            return answered.status, answered.headers
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers


def test_every_file_of_the_stack_is_its_owners_alone(running_stack: Any) -> None:
    root = running_stack.home / "stack"
    found = [root, *root.rglob("*")]
    open_ones = [f"{path} {stat.filemode(path.lstat().st_mode)}" for path in found if is_open(path)]
    assert open_ones == []
    kinds = {path.relative_to(root).parts[0] for path in found[1:]}
    assert kinds >= {"airflow", "logs", "mlflow", "s3", "credentials.json", "supervisord.conf"}, (
        "made by the components"
    )


def is_open(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISLNK(mode) and bool(mode & 0o077)


def test_nothing_listens_beyond_the_loopback_address(running_stack: Any) -> None:
    inodes = {link for pid in descendants(running_stack.leader()) for link in sockets(pid)}
    rows = [row.split() for name in ("tcp", "tcp6", "udp", "udp6") for row in table(name)]
    # 0A is TCP's LISTEN, 07 what a bound socket of UDP is in.
    bound = [row[1] for row in rows if row[3] in ("0A", "07") and f"socket:[{row[9]}]" in inodes]
    assert {int(address.rpartition(":")[2], 16) for address in bound} >= set(running_stack.ports.values())
    assert [address for address in bound if not address.startswith("0100007F:")] == []


def table(name: str) -> list[str]:
    return Path(f"/proc/net/{name}").read_text().splitlines()[1:]


def sockets(pid: int) -> list[str]:
    try:
        return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []


@pytest.mark.parametrize("service", SERVICES)
def test_no_page_of_another_origin_may_read_an_answer(running_stack: Any, service: str) -> None:
    _, headers = answer(running_stack.address(service) + ANSWERS[service], {"Origin": "http://attacker.example"})
    assert headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize(("service", "status"), [("mlflow", 403), ("hub", 400), ("s3", 404)])
def test_a_name_that_leads_here_opens_nothing(running_stack: Any, service: str, status: int) -> None:
    """A page whose own name was made to resolve to the loopback address is of the same origin as what answers there.

    To the S3 server it would need a key. Airflow shows its version, and all else to who has logged in at that name.
    """
    assert answer(running_stack.address(service) + ANSWERS[service], {"Host": "attacker.example"})[0] == status


def test_a_page_of_another_origin_changes_nothing_in_mlflow(running_stack: Any) -> None:
    address = running_stack.address("mlflow") + "/api/2.0/mlflow/experiments/create"
    headers = {"Origin": "http://attacker.example", "Content-Type": "application/json"}
    assert answer(address, headers, "POST", b'{"name": "planted"}')[0] == 403


def test_mlflow_may_not_be_framed_by_another_page(running_stack: Any) -> None:
    _, headers = answer(running_stack.address("mlflow"), {})
    assert headers["X-Frame-Options"] == "SAMEORIGIN" and headers["X-Content-Type-Options"] == "nosniff"


def test_airflow_asks_everybody_for_a_login(running_stack: Any) -> None:
    for path in ("/api/v2/dags", "/api/v2/connections", "/api/v2/config", "/ui/config"):
        assert answer(running_stack.address("airflow") + path, {})[0] in (401, 403), path
    # The name of the execution interface, through which tasks get their connections.
    assert answer(running_stack.address("airflow") + "/execution/connections/hallmark_hub", {})[0] in (401, 403)


@pytest.mark.parametrize(("user", "password"), [("admin", "admin"), ("airflow", "airflow"), ("admin", "")])
def test_no_default_password_opens_airflow(running_stack: Any, user: str, password: str) -> None:
    with AirflowApi(running_stack.address("airflow"), user, password) as api, pytest.raises(AirflowRefused):
        api.pools()


def test_airflow_shows_its_configuration_and_passwords_to_nobody(running_stack: Any) -> None:
    with running_stack.airflow() as airflow:
        with pytest.raises(AirflowRefused, match="403"):
            airflow._send("GET", "/api/v2/config")
        shown = airflow._send("GET", "/api/v2/connections/hallmark_hub")
    assert shown["password"] in (None, "***")


@pytest.mark.parametrize("keys", [("", ""), ("test:tester", "testing"), ("minioadmin", "minioadmin")])
def test_no_default_key_opens_the_store(running_stack: Any, keys: tuple[str, str]) -> None:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ClientError

    config = Config(signature_version="s3v4" if keys[0] else UNSIGNED)
    given = {"aws_access_key_id": keys[0] or None, "aws_secret_access_key": keys[1] or None}
    client: Any = boto3.session.Session(**given).client(  # type: ignore[arg-type]
        "s3", endpoint_url=running_stack.address("s3"), region_name="us-east-1", config=config
    )
    # 412 is Swift's answer to a request that nobody has signed.
    with pytest.raises(ClientError, match="SignatureDoesNotMatch|412"):
        client.list_objects_v2(Bucket="hallmark")
    client.close()


def test_the_commands_show_no_secret_except_where_they_are_asked_for_it(running_stack: Any) -> None:
    """`env` prints the store's keys, which is what it is for; `up` tells a login to terminals only."""
    secrets = running_stack.credentials().model_dump()
    asked = running_stack.command("env").stdout
    assert {name for name, secret in secrets.items() if secret in asked} == {"s3_access_key", "s3_secret_key"}
    for words in (("up",), ("status",), ("logs", "airflow-api", "-n", "100000"), ("--help",)):
        done = running_stack.command(*words)
        told = done.stdout + done.stderr
        assert done.returncode == 0 and told
        assert [name for name, secret in secrets.items() if secret in told] == [], words

"""Credentials that expire during a long task are neither an outage nor wrong settings."""

from collections.abc import Callable

import pytest

pytest.importorskip("boto3")

from botocore.stub import Stubber

from tasks.errors import AccessDenied, CredentialsExpired, StoreUnavailable, TerminalError
from tasks.store.s3 import S3Store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> S3Store:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "x" * 16)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return S3Store("bucket", "prefix")


CALLS: dict[str, Callable[[S3Store], object]] = {
    "put_object": lambda store: store.put_bytes("name", b"x"),
    "get_object": lambda store: store.get_bytes("name"),
    "head_object": lambda store: store.stat("name"),
    "list_objects_v2": lambda store: list(store.list("")),
}


def refused(store: S3Store, code: str, status: int, worked: bool, call: str = "put_object") -> None:
    """Call the store, which answers with an error, after a success if `worked`."""
    with Stubber(store._client) as server:
        if worked:
            server.add_response("put_object", {})
            store.put_bytes("name", b"x")
        server.add_client_error(call, code, http_status_code=status)
        CALLS[call](store)


@pytest.mark.parametrize("worked", [True, False])
@pytest.mark.parametrize(
    ("code", "status"),
    [("ExpiredToken", 400), ("ExpiredToken", 403), ("RequestExpired", 400), ("TokenRefreshRequired", 400)],
)
@pytest.mark.parametrize("call", ["put_object", "get_object", "list_objects_v2"])
def test_credentials_whose_time_is_over_are_named_with_what_to_do(
    store: S3Store, code: str, status: int, worked: bool, call: str
) -> None:
    with pytest.raises(CredentialsExpired) as told:
        refused(store, code, status, worked, call)
    said = str(told.value)
    assert said.startswith(f"The store s3://bucket/prefix no longer accepts its credentials ({code}); renew them in")
    assert said.endswith("check this host's clock, and clear the task.")
    assert isinstance(told.value, TerminalError), "the same credentials would be refused again"


@pytest.mark.parametrize(("code", "status"), [("InvalidAccessKeyId", 403), ("InvalidToken", 400)])
def test_a_key_that_is_not_known_any_more_has_been_withdrawn(store: S3Store, code: str, status: int) -> None:
    with pytest.raises(CredentialsExpired, match="no longer accepts"):
        refused(store, code, status, worked=True)


def test_a_key_that_was_never_known_is_wrong(store: S3Store) -> None:
    with pytest.raises(AccessDenied, match="check its credentials") as told:
        refused(store, "InvalidAccessKeyId", 403, worked=False)
    assert not isinstance(told.value, CredentialsExpired)


def test_an_answer_without_a_text_after_a_success_is_an_expiry(store: S3Store) -> None:
    with pytest.raises(CredentialsExpired):
        refused(store, "400", 400, worked=True, call="head_object")


@pytest.mark.parametrize("code", ["AccessDenied", "SignatureDoesNotMatch", "RequestTimeTooSkewed"])
def test_what_is_not_allowed_has_not_expired(store: S3Store, code: str) -> None:
    with pytest.raises(AccessDenied, match="what they allow, and this host's clock") as told:
        refused(store, code, 403, worked=True)
    assert not isinstance(told.value, CredentialsExpired)


def test_an_outage_is_still_an_outage(store: S3Store) -> None:
    with pytest.raises(StoreUnavailable):
        refused(store, "InternalError", 500, worked=True)

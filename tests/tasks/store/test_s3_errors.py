"""An answer of an S3 server becomes one sentence with the server's own words; only what may pass is tried again."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

pytest.importorskip("boto3")

from botocore.exceptions import ClientError, CredentialRetrievalError, SSLError

from tasks.errors import AccessDenied, DiskFull, InvalidRecipe, NotFound, StoreUnavailable, Unsupported
from tasks.store.s3 import S3Store
from tasks.store.s3_errors import explain
from tests.fixtures.scripted_server import AnsweringServer, answering

STORE = "s3://good/x"


def answer(code: str, status: int, message: str = "Planted words.", operation: str = "PutObject") -> ClientError:
    told: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(told, operation)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AuthorizationHeaderMalformed", 400, InvalidRecipe),
        ("PermanentRedirect", 301, InvalidRecipe),
        ("InvalidBucketName", 400, InvalidRecipe),
        ("KMS.DisabledException", 400, InvalidRecipe),
        ("EntityTooLarge", 400, InvalidRecipe),
        ("MethodNotAllowed", 405, InvalidRecipe),
        ("", 400, InvalidRecipe),
        ("AccessDenied", 403, AccessDenied),
        ("ExpiredToken", 400, AccessDenied),
        ("InvalidArgument", 400, Unsupported),
        ("QuotaExceeded", 403, DiskFull),
        ("RequestTimeout", 400, StoreUnavailable),
        ("BadDigest", 400, StoreUnavailable),
        ("IncompleteBody", 400, StoreUnavailable),
        ("XAmzContentChecksumMismatch", 400, StoreUnavailable),
        ("TemporaryRedirect", 307, StoreUnavailable),
        ("IDPCommunicationError", 400, StoreUnavailable),
        ("RequestLimitExceeded", 400, StoreUnavailable),
        ("ClientDisconnected", 499, StoreUnavailable),
        ("ExpiredRequest", 400, AccessDenied),
        ("InvalidPart", 400, StoreUnavailable),
        ("KMS.ThrottlingException", 400, StoreUnavailable),
        ("OperationAborted", 409, StoreUnavailable),
        ("PreconditionFailed", 412, StoreUnavailable),
        ("TooManyRequests", 429, StoreUnavailable),
        ("SlowDown", 503, StoreUnavailable),
        ("InternalError", 500, StoreUnavailable),
    ],
)
def test_the_code_decides_whether_to_retry_and_the_servers_words_are_quoted(
    code: str, status: int, kind: type[Exception]
) -> None:
    said = explain(answer(code, status), STORE, "k.json", worked=False)
    assert isinstance(said, kind)
    words, _, help = str(said).partition("; ")
    assert words.endswith(f": Planted words ({code or status})") and help.endswith(".")


def test_a_wrong_region_is_named_with_the_right_one() -> None:
    words = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-central-1'"
    assert str(explain(answer("AuthorizationHeaderMalformed", 400, words), STORE, "k", worked=False)) == (
        f"The store {STORE} refused PutObject of 'k': {words} (AuthorizationHeaderMalformed); correct HALLMARK_STORE, "
        "or endpoint_url and region_name in the extra of the connection 'hallmark_store' (by hand: "
        "AWS_ENDPOINT_URL_S3 and AWS_DEFAULT_REGION), or what it names there."
    )


@pytest.mark.parametrize(
    ("code", "operation", "kind"),
    [
        ("NoSuchKey", "GetObject", NotFound),
        ("404", "HeadObject", NotFound),
        ("404", "GetObject", InvalidRecipe),
        ("", "PutObject", InvalidRecipe),
    ],
)
def test_only_a_server_of_s3_says_that_an_object_is_absent(code: str, operation: str, kind: type[Exception]) -> None:
    assert isinstance(explain(answer(code, 404, "", operation), STORE, "k", worked=False), kind)


def test_a_404_of_a_proxy_is_no_mistake_of_the_address_once_the_store_has_answered() -> None:
    assert isinstance(explain(answer("404", 404, "", "GetObject"), STORE, "k", worked=True), StoreUnavailable)


@pytest.mark.parametrize(
    ("code", "status"), [("InvalidIdentityToken", 400), ("AccessDenied", 403), ("ExpiredTokenException", 400)]
)
def test_a_role_that_is_refused_is_no_mistake_of_the_address(code: str, status: int) -> None:
    said = explain(answer(code, status, operation="AssumeRoleWithWebIdentity"), STORE, "k", worked=False)
    assert isinstance(said, AccessDenied) and str(said).endswith("; check the role and what it allows.")


def test_a_400_without_a_reason_may_be_an_expired_token() -> None:
    said = explain(answer("400", 400, "", "HeadObject"), STORE, "k", worked=False)
    assert isinstance(said, AccessDenied) and "gave no reason; check its credentials, or correct HALLMARK_STORE" in str(
        said
    )


def test_a_server_of_s3_is_known_by_its_header_where_its_404_has_no_code() -> None:
    error = answer("", 404, "", "GetObject")
    error.response["ResponseMetadata"]["HTTPHeaders"] = {"x-amz-request-id": "1"}
    assert isinstance(explain(error, STORE, "k", worked=False), NotFound)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringServer]:
    with answering() as running:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x" * 16)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.url)
        yield running


def test_a_web_server_is_not_an_empty_store(server: AnsweringServer) -> None:
    server.answer = lambda _: (404, {}, b"<html><body>Nothing here</body></html>")
    with pytest.raises(InvalidRecipe, match=r"'k' and answered 404 as no S3 server does; correct HALLMARK_STORE, or"):
        S3Store("good", "x").get_bytes("k")


def test_a_page_that_asks_for_a_login_is_not_followed_for_ever(server: AnsweringServer) -> None:
    server.answer = lambda _: (302, {"Location": "https://login.example/"}, b"")
    with pytest.raises(InvalidRecipe, match="redirects in circles, as no S3 server does; correct HALLMARK_STORE"):
        S3Store("good", "x").get_bytes("k")


def test_a_name_that_no_bucket_has_is_refused_before_anything_is_asked(server: AnsweringServer) -> None:
    with pytest.raises(InvalidRecipe, match='boto refuses to: Invalid bucket name "a b".*; correct HALLMARK_STORE'):
        S3Store("a b", "x").get_bytes("k")
    assert server.asked == []


def test_a_role_without_credentials_is_no_mistake_of_the_address(server: AnsweringServer) -> None:
    store = S3Store("good", "x")

    def fail(**_: object) -> None:
        raise CredentialRetrievalError(provider="container-role", error_msg="timed out.")

    cast(Any, store)._client.meta.events.register("before-send.s3", fail)
    with pytest.raises(StoreUnavailable, match=r"got no credentials: .*timed out; check the host's role, or the conn"):
        store.get_bytes("k")


def test_a_certificate_that_is_not_trusted_is_not_an_outage(
    server: AnsweringServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    store = S3Store("good", "x")

    def untrusted(**_: object) -> None:
        failed = OSError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
        raise SSLError(endpoint_url="https://s3", error=failed)

    cast(Any, store)._client.meta.events.register("before-send.s3", untrusted)
    with pytest.raises(InvalidRecipe, match=r"was not accepted: .*self-signed certificate.*; set AWS_CA_BUNDLE"):
        store.get_bytes("k")

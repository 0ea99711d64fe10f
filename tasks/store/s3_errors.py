"""Translates what an S3 server answers into our errors: one sentence with its own words, and whether to retry."""

from botocore.exceptions import ClientError

from tasks.errors import (
    AccessDenied,
    CredentialsExpired,
    DiskFull,
    HallmarkError,
    InvalidRecipe,
    NotFound,
    StoreUnavailable,
    Unsupported,
)

NOT_UNDERSTOOD = {
    "NotImplemented",
    "InvalidRequest",
    "InvalidArgument",
    "MissingContentLength",
    "XAmzContentSHA256Mismatch",
}
"""Error codes of servers that do not know a header or an encoding; a retry does not help."""

FULL = {"QuotaExceeded", "XMinioAdminBucketQuotaExceeded"}
"""Error codes, with status 400 or 403, of servers whose quota is used up. Full disks have the status 507."""

EXPIRED = {"ExpiredRequest", "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
"""Error codes, with status 400, 401 or 403, for credentials whose time is over."""

WITHDRAWN = {"InvalidAccessKeyId", "InvalidToken", "400"}
"""Error codes for credentials that the server does not know. It knew them if they worked before.

An answer to HEAD has no text, so its code is its status: AWS answers 400 where a token has expired.
"""

NO_CODE = {"", "404"}
"""What boto gives as the code of a 404 that has no code: of an answer to HEAD, or of another server than S3's."""

OWN_HEADER = "x-amz-request-id"
"""A header of every answer of an S3 server; web servers and proxies do not send it."""

PASSING_STATUSES = {408, 409, 412, 416, 425, 429, 499}
"""Refusals that end by themselves: a timeout, an operation on the same object, an object that was replaced or shortened
while it was read, too many requests, and a connection that broke (MinIO's ClientDisconnected).
"""

PASSING = {
    *("BadDigest", "IncompleteBody", "InvalidPart", "InvalidPartOrder", "XAmzContentChecksumMismatch"),
    *("IDPCommunicationError", "PriorRequestNotComplete", "RequestLimitExceeded", "RequestTimeout", "SlowDown"),
    "TemporaryRedirect",
}
"""Error codes for bytes that did not arrive whole, for a server that is busy or that did not reach another one, and for
a new bucket whose address is not known everywhere yet."""

ROLE = "AssumeRole"
"""Begins the names of the operations by which boto gets credentials from the role of a host."""

CORRECT = (
    "correct HALLMARK_STORE, or endpoint_url and region_name in the extra of the connection 'hallmark_store' (by hand: "
    "AWS_ENDPOINT_URL_S3 and AWS_DEFAULT_REGION)"
)


def explain(error: ClientError, store: str, name: str, worked: bool) -> HallmarkError:
    """Return our error for an answer of the server of `store`, an address, about the object `name`.

    worked: whether the server has accepted these credentials before.
    """
    told, answer = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    code, message = str(told.get("Code", "")), one_line(str(told.get("Message", ""))).rstrip(".")
    status = answer.get("HTTPStatusCode", 0)
    words = f": {message} ({code or status})" if message else f" ({code or status})"
    if code == "NoSuchUpload":
        return StoreUnavailable(f"The store {store} forgot the parts of {name} that it had; try again.")
    if code == "NoSuchBucket":
        return InvalidRecipe(f"The bucket {store.split('/')[2]!r} does not exist; create it or change HALLMARK_STORE.")
    is_s3 = error.operation_name == "HeadObject" or OWN_HEADER in answer.get("HTTPHeaders", {})
    if status == 404 and code in NO_CODE and not is_s3:
        if worked:
            # It is the right server; a proxy before it may have lost it for a while.
            return StoreUnavailable(
                f"The store {store} answered 404 for {name!r} as no S3 server does; try again later."
            )
        return InvalidRecipe(f"{store} was asked for {name!r} and answered 404 as no S3 server does; {CORRECT}.")
    if status == 404 or code == "NoSuchKey":
        return NotFound(f"The store {store} holds no {name}.")
    if code in FULL or status == 507:
        return DiskFull(
            f"The store {store} has no room for {name}{words}; free some there or have its quota raised, "
            "or name another store in HALLMARK_STORE, and clear the task."
        )
    passes = status in PASSING_STATUSES or code in PASSING or "Throttl" in code
    if 300 <= status < 500 and not passes and error.operation_name.startswith(ROLE):
        return AccessDenied(
            f"The store {store} was not asked for {name!r}, because the role of this host was refused{words}; check "
            "the role and what it allows."
        )
    if code in EXPIRED or (code in WITHDRAWN and worked):
        return CredentialsExpired(
            f"The store {store} no longer accepts its credentials{words}; renew them in the connection "
            "'hallmark_store', or in the AWS_ variables where there is none, check this host's clock, and "
            "clear the task."
        )
    if status in (401, 403):
        return AccessDenied(
            f"The store {store} refused {error.operation_name} of {name!r}{words}; "
            "check its credentials, what they allow, and this host's clock."
        )
    if code in NOT_UNDERSTOOD:
        return Unsupported(
            f"The store {store} did not understand what it was asked about {name}{words}; if it refuses "
            "the newer checksums, set request_checksum_calculation and response_checksum_validation to "
            "'when_required' in the extra of the connection 'hallmark_store'."
        )
    if status == 400 and code == "400":
        return AccessDenied(
            f"The store {store} refused {error.operation_name} of {name!r} and gave no reason; check its credentials, "
            f"or {CORRECT}."
        )
    if 300 <= status < 500 and not passes:
        return InvalidRecipe(
            f"The store {store} refused {error.operation_name} of {name!r}{words}; {CORRECT}, or what it names there."
        )
    return StoreUnavailable(f"The store {store} failed on {name!r} with status {status}{words}; try again later.")


def one_line(text: str) -> str:
    """Return a text without line breaks."""
    return " ".join(text.split())

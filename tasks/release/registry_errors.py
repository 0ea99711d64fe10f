"""Translates errors of MLflow's client into ours: one sentence each, and a type that says whether to retry.

MLflow's client does not translate what its calls about artifacts raise: requests' errors if the server passes the
artifacts on, and boto's if the client asks the object store itself.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.checkpoint.reasons import reason
from tasks.errors import AccessDenied, HallmarkError, InvalidRecipe, NotFound, RegistryUnavailable

PASSING = (408, 425, 429)
"""Statuses of a refusal that ends by itself: a timeout, and too many requests."""

DENIED = ("403", "AccessDenied", "InvalidAccessKeyId", "NoSuchBucket", "SignatureDoesNotMatch")
"""Error codes of an object store that a retry does not change."""

PAGE = re.compile(r"failed with error code (3\d\d|40[045]) != |not in a valid JSON format|Exceeded \d+ redirects")
"""How MLflow's client describes an answer of another server than MLflow."""

STATUS = re.compile(r"failed with error code (4\d\d) != ")
"""How it describes a refusal that does not have the form of MLflow's, such as a proxy's."""

ADDRESS = "the host of the connection 'hallmark_mlflow' (by hand: MLFLOW_TRACKING_URI)"


@contextmanager
def registry_errors(address: str, what: str, answered: bool) -> Iterator[None]:
    """Turn the client's errors into ours. This is the only place that decides which of them can be retried.

    what: what the server at `address` is asked for, for the message.
    answered: whether MLflow has answered there before. Then another answer is a proxy's, which may have lost it for a
        while.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except MlflowException as error:
        raise _of_mlflow(error.error_code, error.message, address, what, answered) from error
    except RequestException as error:
        status = 0 if error.response is None else error.response.status_code
        raise _of_requests(status, reason(str(error)), address, what) from error
    except (Boto3Error, BotoCoreError, ClientError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise InvalidRecipe(
                f"The certificate of the store of MLflow's artifacts was not accepted ({reason(str(error))}); set "
                "AWS_CA_BUNDLE on the workers to the file with the certificate of its authority, if that is not known "
                "here; otherwise correct the server or its address."
            ) from error
        if isinstance(error, ClientError) and error.response["Error"].get("Code") in DENIED:
            raise AccessDenied(
                f"The store of MLflow's artifacts refused {what} ({reason(str(error))}); check the AWS_ variables, "
                "because the server lets its clients ask the store themselves."
            ) from error
        raise RegistryUnavailable(
            f"The store of MLflow's artifacts failed on {what} ({reason(str(error))}); try again later, or check "
            "the AWS_ variables, because the server lets its clients ask the store themselves."
        ) from error


def _of_mlflow(code: str, message: str, address: str, what: str, answered: bool) -> HallmarkError:
    words = reason(message).rstrip(".")
    if code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
        return NotFound(f"MLflow at {address} does not know {what} ({words}); run the release again.")
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
        return _refused(address, what, words)
    if "CERTIFICATE_VERIFY_FAILED" in message:
        return InvalidRecipe(
            f"The certificate of {address} was not accepted ({words}); set REQUESTS_CA_BUNDLE on the workers to the "
            "file with the certificate of its authority, if that is not known here; otherwise correct the server or "
            "its address."
        )
    if PAGE.search(message):
        if answered:
            return RegistryUnavailable(
                f"What answers at {address} is not MLflow any more: asked for {what}, it gave another answer than "
                f"MLflow does ({words}); try again later."
            )
        return InvalidRecipe(
            f"What answers at {address} is not MLflow, or is older than the MLflow that Hallmark uses: asked for "
            f"{what}, it gave another answer than MLflow does ({words}); correct {ADDRESS}."
        )
    if status := STATUS.search(message):
        return _of_requests(int(status[1]), words, address, what)
    if code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
        return InvalidRecipe(f"MLflow at {address} refused {what} ({words}); correct what it names.")
    if code == "RESOURCE_ALREADY_EXISTS":
        return RegistryUnavailable(f"Another run created {what} at the same time; try again.")
    return RegistryUnavailable(f"MLflow at {address} failed on {what} ({words}); try again later, or check {ADDRESS}.")


def _of_requests(status: int, words: str, address: str, what: str) -> HallmarkError:
    if status in (401, 403):
        return _refused(address, what, words)
    if 400 <= status < 500 and status not in PASSING:
        return InvalidRecipe(
            f"MLflow at {address}, or a proxy before it, refused {what} with status {status} ({words}); correct its "
            "settings."
        )
    return RegistryUnavailable(f"MLflow at {address} failed on {what} ({words}); try again later.")


def _refused(address: str, what: str, words: str) -> AccessDenied:
    return AccessDenied(f"MLflow at {address} refused {what} ({words}); check the connection 'hallmark_mlflow'.")

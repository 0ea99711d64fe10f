"""Translates errors of the Hub's client into ours: one sentence each, and a type that says whether to retry."""

import os
from datetime import UTC, datetime, timedelta

import httpx2
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tasks.checkpoint.reasons import reason
from tasks.errors import AccessDenied, HallmarkError, HubUnavailable, InvalidRecipe, NotFound, RateLimited
from tasks.source.hub_retry import asked_wait

RETRIED_STATUSES = {408, 425, 429, 500, 502, 503, 504}

LONGEST_WAIT_SECONDS = 900.0
"""The longest wait that the Hub may ask for. The Hub limits requests in windows of five minutes."""

A_YEAR_SECONDS = 365 * 24 * 3600.0

PUBLIC = "https://huggingface.co"

# Under Airflow, a task gets both from the connection alone.
ADDRESS = "HF_ENDPOINT (in Airflow, the host of the connection 'hallmark_hub')"
LOGIN = "HF_TOKEN (in Airflow, the password of the connection 'hallmark_hub')"


def explain(error: Exception, hub: str, repository: str, revision: str, file: str | None = None) -> HallmarkError:
    """Return our error for the client's `error` about a repository or one of its files."""
    what = f"{file} of {repository}" if file else repository
    if isinstance(error, OfflineModeIsEnabled):
        return InvalidRecipe(f"HF_HUB_OFFLINE forbids asking the Hub for {what}; unset it and try again.")
    if isinstance(error, HfHubHTTPError):
        return _explain_answer(error, hub, repository, revision, what)
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.InvalidURL):
        return InvalidRecipe(f"{ADDRESS} is {hub!r}, which is not an address such as https://host or http://host:port.")
    if isinstance(error, httpx2.TooManyRedirects):
        return HubUnavailable(f"{hub} redirects in circles for {what}; check {ADDRESS}, or try again later.")
    if isinstance(error, httpx2.DecodingError):
        why = f"something else than the Hub does ({_cause(error)})"
        return HubUnavailable(f"{hub} answered for {what} with {why}; check {ADDRESS} and the proxy in between.")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return InvalidRecipe(
            f"The certificate of {hub}, or of a server to which it leads, was not accepted for {what} "
            f"({_cause(error)}); set SSL_CERT_FILE for Airflow and its workers to the file with the certificate of "
            "its authority, if that is not known here (on the laptop stack, set it and run `make up`); otherwise "
            "correct the server or its address."
        )
    if isinstance(error, httpx2.ProxyError):
        return HubUnavailable(
            f"The proxy before {hub} failed for {what} ({_cause(error)}); check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
        )
    if isinstance(error, httpx2.ReadTimeout):
        return HubUnavailable(f"{hub} did not send {what} in time ({_cause(error)}); try again later.")
    if isinstance(error, httpx2.ReadError | httpx2.RemoteProtocolError):
        return HubUnavailable(f"{hub} broke off while sending {what} ({_cause(error)}); try again later.")
    return HubUnavailable(f"{hub} cannot be reached for {what} ({_cause(error)}); check the network and {ADDRESS}.")


def _explain_answer(error: HfHubHTTPError, hub: str, repository: str, revision: str, what: str) -> HallmarkError:
    status = error.response.status_code
    token = bool(os.environ.get("HF_TOKEN"))
    if isinstance(error, GatedRepoError):
        then = f"with the account of {LOGIN}" if token else f"and set {LOGIN} to a token of the account that has it"
        return AccessDenied(f"{repository} is gated: ask for access at {hub}/{repository} {then}.")
    if isinstance(error, DisabledRepoError):
        return AccessDenied(f"{repository} has been disabled by the Hub; choose another model.")
    if isinstance(error, RevisionNotFoundError):
        return NotFound(f"{repository} has no branch, tag or commit {revision!r}; see {hub}/{repository}/commits/main.")
    if isinstance(error, EntryNotFoundError):
        return NotFound(f"{repository} has no file {what.partition(' of ')[0]} at {revision}; pin it again.")
    if isinstance(error, RepositoryNotFoundError):
        private = f"the token in {LOGIN} may not read it" if token else f"it is private: then set {LOGIN}"
        kind = AccessDenied if status == 401 and token else NotFound
        return kind(f"There is no model {repository!r} on {hub}, or {private}; check the name{_elsewhere(hub)}.")
    if status in RETRIED_STATUSES or status >= 500:
        wait = asked_wait(error) or 0.0
        if wait > LONGEST_WAIT_SECONDS:
            # Rounded up to whole minutes.
            again = datetime.now(UTC) + timedelta(seconds=min(wait, A_YEAR_SECONDS), minutes=1)
            until = f"{again:%Y-%m-%d %H:%M} UTC"
            asks = f"asks for a pause until {until}; run the release again then."
            return RateLimited(f"{hub} answered {status} for {what} and {asks}")
        return HubUnavailable(f"{hub} answered {status} for {what}; try again later.")
    if status == 401 and not token:
        return AccessDenied(f"{hub} asks for a token to read {what}; set {LOGIN} to a token with read access to it.")
    if status == 401:
        return AccessDenied(f"{hub} does not accept the token in {LOGIN}; make a new one at {hub}/settings/tokens.")
    if status == 403:
        return AccessDenied(f"{hub} forbids reading {what}; set {LOGIN} to a token with read access to it.")
    words = f" ({reason(error.server_message)})" if error.server_message else ""
    return NotFound(
        f"{hub} refused the request for {what} with status {status}{words}; check the name and the revision, "
        f"and {ADDRESS}."
    )


def _elsewhere(hub: str) -> str:
    """Return how to take a model from the public Hub, where `hub` is a mirror."""
    if hub == PUBLIC:
        return ""
    return ', or set `hub = "huggingface"` in settings.toml of the laptop stack and run `make up`'


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__

"""Keeps the secrets of a task's process away from logs, libraries and child processes.

Secrets come as environment variables. When the store's client has read its own, `forget_secrets` removes all that the
task does not need, so that no library and no child process finds them. `MaskedStream` masks secrets in everything that
the process prints, because a message of a library may contain one.
"""

import base64
import os
import re
from collections.abc import Collection
from typing import IO, Any
from urllib.parse import quote, unquote

from tasks.errors import InvalidRecipe

STORE = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
HUB = ("HF_TOKEN",)
REGISTRY = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
"""Proxies, whose addresses may contain a login. Clients read both spellings."""

SHELL = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"),
    *PROXIES,
    "CUDA_VISIBLE_DEVICES",
)
"""Variables that every process inherits: folders, locale, certificates and proxies; no credential of a service."""

NEEDED: dict[str, tuple[str, ...]] = {
    "hub": (*HUB, *PROXIES),
    # MLflow's client reads and writes artifacts in the bucket itself if the server gives it the bucket's address.
    "registry": (*REGISTRY, *STORE, *PROXIES),
}
"""The variables that a task keeps while it runs, by the `access` in its definition."""

MASK = "***"
SHORTEST = 5
"""Shorter values are not masked, because they occur in ordinary words. Airflow has the same limit."""

SHORTEST_KEY_NAME = 16
"""Shorter access key ids are not masked: a generated id has 20 characters at AWS; others are words such as `admin`."""


def forget_secrets(access: Collection[str]) -> None:
    """Remove from the environment what a task with this access does not need once its store is open."""
    kept = {name for needed in access for name in NEEDED[needed]}
    if "AWS_WEB_IDENTITY_TOKEN_FILE" in os.environ:
        # A role's keys are fetched at the first request, and again when they expire; both may need the proxy.
        kept |= set(PROXIES)
    for name in {*STORE, *HUB, *REGISTRY, *PROXIES} - kept:
        os.environ.pop(name, None)


class Mask:
    """Masks the secrets that are in the environment when the mask is made: plain, URL-quoted, and as a base64 login."""

    def __init__(self) -> None:
        # A user name is not a secret and may be an ordinary word.
        shortest = {name: SHORTEST for name in (*STORE, *HUB, *REGISTRY) if name != "MLFLOW_TRACKING_USERNAME"}
        shortest["AWS_ACCESS_KEY_ID"] = SHORTEST_KEY_NAME
        values = [value for name, least in shortest.items() if len(value := os.environ.get(name, "")) >= least]
        logins = [f"{os.environ.get('MLFLOW_TRACKING_USERNAME', '')}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"]
        for login in (_login(os.environ.get(name, "")) for name in PROXIES):
            password = login.partition(":")[2]
            values += [form for form in (password, unquote(password)) if len(form) >= SHORTEST]
            logins.append(unquote(login))
        forms = {form for value in values for form in (value, quote(value, safe=""))}
        forms |= {base64.b64encode(login.encode()).decode() for login in logins if len(login) > SHORTEST}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        """Return the text with all secrets replaced by MASK."""
        return self._pattern.sub(MASK, text) if self._pattern else text


def _login(address: str) -> str:
    """Return the login in an address as it is written there, or an empty text if there is none."""
    return (address.partition("://")[2] or address).partition("/")[0].rpartition("@")[0]


class MaskedStream:
    """A text stream that masks secrets in what is written to it. Otherwise it behaves like the stream it wraps."""

    def __init__(self, stream: IO[str], mask: Mask) -> None:
        self._stream = stream
        self._mask = mask

    def write(self, text: str) -> int:
        """Write the text with its secrets masked."""
        self._stream.write(self._mask(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write lines with their secrets masked."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


NO_LOGIN = re.compile(r"file:/(?!/)|[\w+.-]+://([^/@:]*|\[[^/@]*\])(:\d*)?/")
"""How an address begins whose first `@`, if there is one, is in its path.

Every other `@` may end a login, also in an address with a mistake, such as https:/user:password@host.
"""


def plain_address(address: str, setting: str, instead: str) -> str:
    """Return an address that may appear in logs. Raises InvalidRecipe if it contains a user name or password.

    setting: the name of the setting that contains the address, for the message.
    instead: where the login belongs, for the message.
    """
    if "@" in address and not NO_LOGIN.match(address):
        raise InvalidRecipe(
            f"{setting} contains a login in its address, which appears in logs and reports; give the login {instead}."
        )
    return address

"""Secrets of a task's process: they come as environment variables, go to the clients that need them, and nowhere else.

What the store's client has read is taken out of the environment again, so that no library and no child finds it there.
All text that the process writes has its secrets masked: a message of somebody else's code may quote one.
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
"""The way out of a closed network, which may have a login in its address; clients know it in both spellings."""

NEEDED: dict[str, tuple[str, ...]] = {
    "hub": (*HUB, *PROXIES),
    # Where the registry hands out addresses in a bucket, MLflow's own client reads and writes there.
    "registry": (*REGISTRY, *STORE, *PROXIES),
}
"""What a task keeps for as long as it runs, by what its definition says it talks to."""

MASK = "***"
SHORTEST = 5
"""Shorter values are not masked, for they are parts of ordinary words; Airflow has the same limit."""

SHORTEST_KEY_NAME = 16
"""An access key's name is half a secret where it was generated (20 characters at AWS), and else a word like `admin`."""


def forget_secrets(access: Collection[str]) -> None:
    """Take out of the environment what a task with this access does not need once its store is open."""
    kept = {name for needed in access for name in NEEDED[needed]}
    if "AWS_WEB_IDENTITY_TOKEN_FILE" in os.environ:
        # The keys of a role are fetched when they are needed first, and again when they are out of date.
        kept |= set(PROXIES)
    for name in {*STORE, *HUB, *REGISTRY, *PROXIES} - kept:
        os.environ.pop(name, None)


class Mask:
    """Masks the secrets that the environment holds when it is made: as they are, in an address, and as a login."""

    def __init__(self) -> None:
        # A user's name is no secret and may be an ordinary word.
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
        """Return the text without any secret."""
        return self._pattern.sub(MASK, text) if self._pattern else text


def _login(address: str) -> str:
    """Return the login in an address, as it stands there; nothing where there is none."""
    return (address.partition("://")[2] or address).partition("/")[0].rpartition("@")[0]


class MaskedStream:
    """A text stream that masks what is written to it; in all else the stream that it was made from."""

    def __init__(self, stream: IO[str], mask: Mask) -> None:
        self._stream = stream
        self._mask = mask

    def write(self, text: str) -> int:
        """Write the text without any secret."""
        self._stream.write(self._mask(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write lines without any secret."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def plain_address(address: str, setting: str, instead: str) -> str:
    """Return an address that may be told; raises InvalidRecipe for one with a user name or password in it."""
    without_scheme = address.partition("://")[2] or address
    if "@" in without_scheme.partition("/")[0]:
        raise InvalidRecipe(
            f"{setting} holds a login in the address itself, which is told in logs and reports; give it {instead}."
        )
    return address

"""Open the store that $HALLMARK_STORE names: this one setting moves the whole product to another store."""

import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit

from tasks.errors import InvalidRecipe
from tasks.secrets import plain_address
from tasks.settings import home
from tasks.store.base import Store


def open_store(url: str | None = None) -> Store:
    """Return the store of `url`, of $HALLMARK_STORE, or the folder `store` in the state folder.

    `s3://bucket/prefix` and `file:///folder` are known; anything else raises InvalidRecipe.
    """
    address = url or os.environ.get("HALLMARK_STORE") or f"file://{home() / 'store'}"
    for setting, told in {"HALLMARK_STORE": address, **_endpoints()}.items():
        plain_address(told, setting, "in the connection 'hallmark_store' as login and password")
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise InvalidRecipe(f"HALLMARK_STORE is {address!r}, which is not an address: {error}.") from error
    if parts.scheme == "s3" and parts.netloc:
        from tasks.store.s3 import S3Store

        return S3Store(parts.netloc, parts.path)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        from tasks.store.local import LocalStore

        root = Path(parts.path)
        # A store in the state folder needs no mark: whoever removes the folder removes both.
        inside = root.is_relative_to(home())
        return LocalStore(root, None if inside else home() / "stores" / hashlib.sha256(bytes(root)).hexdigest())
    raise InvalidRecipe(f"HALLMARK_STORE is {address!r}; it must be s3://bucket/prefix or file:///folder.")


def _endpoints() -> dict[str, str]:
    """Return the addresses that boto3 takes from the environment for the store's server, by variable."""
    return {name: os.environ[name] for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if name in os.environ}

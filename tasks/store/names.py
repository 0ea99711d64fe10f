"""Names of objects: the same rules in every store, so that objects can move from one store to another."""

from tasks.errors import NotFound


def check_name(name: str, url: str) -> None:
    """Raise NotFound for a name that is absolute, leads out of the store, or has characters that cannot be printed."""
    if not name.isprintable() or any(part in ("", ".", "..") for part in name.split("/")):
        raise NotFound(f"{name!r} is no name of an object in the store {url}; name it without '..', '//' or controls.")


def check_prefix(prefix: str, url: str) -> None:
    """Raise NotFound for a prefix that is absolute or leads out of the store."""
    if not prefix.isprintable() or any(part in ("", ".", "..") for part in prefix.split("/")[:-1]):
        raise NotFound(f"{prefix!r} is no prefix in the store {url}; name it without '..', '//' or controls.")

"""A name is refused before the Hub is asked, if the Hub never takes it."""

from itertools import product

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # not in its stub of exports

from tasks.hub_name import is_repository


def test_every_repository_is_one_that_the_hubs_client_takes() -> None:
    """The client refuses others before it asks, in a way that looks like an answer of another server."""
    names = ["".join(name) for length in range(5) for name in product("aA7_.-", repeat=length)]
    names = [f"{owner}/{name}" for owner, name in (*(("a", name) for name in names), *((name, "a") for name in names))]
    for name in [*names, "a/b.git"]:
        begins = all(part[:1].isalnum() for part in name.split("/"))
        assert is_repository(name) == (begins and taken_by_the_client(name)), name


def taken_by_the_client(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True

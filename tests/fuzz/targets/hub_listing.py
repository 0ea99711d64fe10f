"""What the Hub answers about a repository, through the Hub's own client: a listing is made by others, too."""

from pathlib import Path

import httpx2
import huggingface_hub

from tasks.source.hub import COMMIT, read_repository
from tasks.source.pin import check_licence
from tasks.source.selection import estimate_weight_bytes, find_companions, find_weights
from tests.fuzz.target import Target

answer = [b""]


def prepare(_: Path) -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, content=answer[0]))
    huggingface_hub.set_client_factory(lambda: httpx2.Client(transport=transport))
    # Waiting between two attempts is no part of what is asked here.
    import tasks.source.hub_retry

    tasks.source.hub_retry.FIRST_PAUSE_SECONDS = 0.0


def parse(data: bytes, folder: Path) -> None:
    answer[0] = data
    repository = read_repository("acme/tiny", "main", lambda _: None)
    assert COMMIT.fullmatch(repository.commit)
    for file in repository.files:
        assert folder in (folder / file.path).parents and ".." not in Path(file.path).parts
        assert isinstance(file.size, int) and file.size >= 0 and file.digest.isalnum()
    check_licence(repository, ("mit",))
    weights = find_weights(repository)
    find_companions(repository)
    estimate_weight_bytes(repository, weights)


TARGET = Target(
    parse=parse,
    prepare=prepare,
    measured={
        "tasks/source/hub.py": ["read_repository", "_files", "check_path", "_licences", "_licence_file", "_texts"],
        "tasks/source/selection.py": ["find_weights", "find_companions", "estimate_weight_bytes"],
        "tasks/source/pin.py": ["check_licence"],
    },
    runs=3_000,
    floor=92,
    json=True,
    words=(
        '"siblings"',
        '"rfilename"',
        '"lfs"',
        '"sha256"',
        '"license:mit"',
        '"license_name"',
        '"license_link"',
        '"other"',
        '"base_model"',
    ),
)

"""Whatever the Hub does in the middle of a fetch: the right error, nothing half-made in the store, and a retry that
finishes with what has come already.
"""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import Result, Spec
from tasks.errors import AccessDenied, Corrupt, HallmarkError, HubUnavailable, NotFound, RateLimited, Refused
from tasks.execution import run
from tasks.host.file_lock import exclusive_lock
from tasks.source import download as download_module
from tasks.source import hub as hub_module
from tasks.source import hub_retry
from tasks.source.download import partial_lock
from tasks.store.artifacts import read_manifest
from tasks.store.local import LocalStore
from tests.fixtures.checkpoints import make_checkpoint
from tests.fixtures.servers import HubMirror

LATER, EARLIER = "model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"
SMALL = "tokenizer.json"
AT = 5000
SLEEP = time.sleep


@dataclass
class Site:
    """A source on the mirror, pinned, and the host that fetches it."""

    mirror: HubMirror
    repository: str
    commit: str
    files: dict[str, bytes]
    folder: Path

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.folder / "store")

    def fetch(self) -> Result:
        """Run the task as its process does."""
        spec = Spec(task="fetch", parameters={"repository": self.repository, "commit": self.commit})
        return run(spec, self.store)

    def sent(self) -> Counter[str]:
        """Bytes of each file that the mirror has sent; it logs an answer after its last byte."""
        rows: list[dict[str, Any]] = []
        while rows != (rows := self.mirror.requests(self.repository)) or not rows:
            time.sleep(0.05)
        return sum((Counter({row["file"]: row["sent"]}) for row in rows), Counter())

    def left(self) -> list[str]:
        """What is in the store, and what of this host's scratch is still there."""
        scratch = self.folder / "home" / "scratch"
        return [item.name for item in self.store.list("")] + [path.name for path in scratch.iterdir()]

    def check(self, result: Result) -> None:
        """The snapshot is the commit's files, each with its digest in the manifest."""
        assert result.artifact
        manifest = read_manifest(self.store, result.artifact)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}
        assert {entry.path: entry.sha256 for entry in manifest.files} == digests
        for entry in manifest.files:
            assert self.store.get_bytes(manifest.prefix + entry.path) == self.files[entry.path]


def sleep_briefly(seconds: float) -> None:
    assert seconds < 60, "so long nobody waits here"
    SLEEP(seconds)


@pytest.fixture
def site(
    request: pytest.FixtureRequest, hub_mirror: HubMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Site:
    monkeypatch.setattr(hub_retry, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("tasks.retry.sleep", sleep_briefly)
    monkeypatch.setattr(download_module, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(hub_module, "ANSWER_SECONDS", 0.2)
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    folder = make_checkpoint(tmp_path / "checkpoint", shards=2)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    repository = f"faults/{hashlib.sha1(request.node.name.encode()).hexdigest()}"
    return Site(hub_mirror, repository, hub_mirror.add(repository, files), files, tmp_path)


ENDED = hub_retry.ATTEMPTS
GONE = {"X-Error-Code": "EntryNotFound"}
ELSEWHERE = {"Location": "http://169.254.169.254/latest"}

Kind = str | int | Callable[[], object]

FAULTS: dict[str, tuple[str | None, Kind, int, dict[str, str], type[HallmarkError], str]] = {
    "429": (
        LATER,
        429,
        ENDED,
        {"Retry-After": "0"},
        HubUnavailable,
        f"answered 429 for {LATER} of .*; try again later",
    ),
    "an hour": (
        LATER,
        429,
        1,
        {"Retry-After": "3600"},
        RateLimited,
        f"answered 429 for {LATER} of .* asks for a pause until .* UTC; run the release again then",
    ),
    "500": (LATER, 500, ENDED, {}, HubUnavailable, f"answered 500 for {LATER}"),
    "503": (LATER, 503, ENDED, {"Retry-After": "0"}, HubUnavailable, f"answered 503 for {LATER}"),
    "503 of a small file": (SMALL, 503, ENDED, {"Retry-After": "0"}, HubUnavailable, f"answered 503 for {SMALL}"),
    "cut": (LATER, "cut", ENDED, {}, HubUnavailable, f"broke off while sending {LATER}"),
    "never": (LATER, "hang", ENDED, {}, HubUnavailable, f"did not send {LATER}"),
    "wrong byte": (LATER, "flip", 2, {}, Corrupt, f"{LATER} of .* arrived 2 times with another digest than"),
    "wrong byte in git": (SMALL, "flip", 2, {}, Corrupt, f"{SMALL} of .* arrived 2 times with another digest than"),
    "missing": (LATER, 404, 1, GONE, NotFound, f"has no file {LATER} at [0-9a-f]*; pin it again"),
    "401": (LATER, 401, 1, {}, AccessDenied, "asks for a token|does not accept the token in HF_TOKEN"),
    "403": (
        LATER,
        403,
        1,
        {},
        AccessDenied,
        f"forbids reading {LATER} of .*; set HF_TOKEN .*'hallmark_hub'.* to a token with read access",
    ),
    "now gated": (LATER, 403, 1, {"X-Error-Code": "GatedRepo"}, AccessDenied, "is gated: ask for access at"),
    "401 of a small file": (SMALL, 401, 1, {}, AccessDenied, "asks for a token|does not accept the token in HF_TOKEN"),
    "leads inside": (LATER, 302, 1, ELSEWHERE, Refused, "redirects to http://169.254.169.254, which lies inside"),
    "listing 503": (None, 503, ENDED, {"Retry-After": "0"}, HubUnavailable, "answered 503 for faults/"),
    "listing never": (None, "hang", ENDED, {}, HubUnavailable, "did not send faults/"),
    "listing 403": (None, 403, 1, {}, AccessDenied, "forbids reading faults/"),
    "listing gone": (None, 404, 1, {"X-Error-Code": "RevisionNotFound"}, NotFound, "has no branch, tag or commit"),
}
"""File (None: the listing), fault, how often, headers; the error, and what it says."""


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_leaves_nothing_and_a_retry_goes_on(site: Site, case: str) -> None:
    file, kind, times, headers, error, message = FAULTS[case]
    # Nothing arrives of a file that is cut at its first byte.
    at = 0 if kind == "cut" else AT
    site.mirror.fail(site.repository, file, kind, at, times, headers)
    with pytest.raises(HallmarkError, match=message) as told:
        site.fetch()
    assert type(told.value) is error and len(str(told.value).splitlines()) == 1
    assert site.left() == []
    before = site.sent() if file else Counter[str]()
    site.check(site.fetch())
    assert site.fetch().reused
    again = site.sent() - before
    for name, data in site.files.items():
        came = name in before and not (kind == "flip" and name == file)
        assert again[name] == (0 if came else len(data)), name


def test_what_had_come_of_a_file_is_not_fetched_again(site: Site) -> None:
    site.mirror.fail(site.repository, LATER, "cut", AT)
    site.mirror.fail(site.repository, LATER, 500, times=ENDED - 1, headers={})
    with pytest.raises(HubUnavailable):
        site.fetch()
    partial = site.folder / "home/cache/partial" / hashlib.sha256(site.files[LATER]).hexdigest()
    kept, before = partial.stat().st_size, site.sent()[LATER]
    assert 0 < kept <= AT
    site.check(site.fetch())
    assert site.sent()[LATER] - before == len(site.files[LATER]) - kept
    assert partial.stat().st_nlink > 1, "the worker cache has the same file"


def test_a_file_that_changes_before_it_is_taken_up_again_begins_anew(site: Site) -> None:
    site.mirror.fail(site.repository, LATER, "cut", AT)
    site.mirror.fail(site.repository, LATER, "flip", 0)
    site.check(site.fetch())


@pytest.mark.parametrize("file", [None, LATER, SMALL])
@pytest.mark.parametrize("headers", [{"Retry-After": "300"}, {"RateLimit": '"resolvers";r=0;t=300'}], ids=str)
def test_what_the_hub_asks_for_is_waited_for_and_reported(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str | None,
    headers: dict[str, str],
) -> None:
    naps: list[float] = []
    monkeypatch.setattr("tasks.retry.sleep", naps.append)
    site.mirror.fail(site.repository, file, 429, headers=headers)
    site.check(site.fetch())
    assert naps == [300]
    assert re.search(
        f"answered 429 for {file or site.repository}.*; try again later. Trying again in 300 s, as the server asks.",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize("file", [None, "config.json", SMALL, EARLIER, LATER])
def test_the_branch_may_move_at_any_time(site: Site, file: str | None) -> None:
    def move() -> None:
        other = make_checkpoint(site.folder / "other", shards=2, hidden=32)
        files = {path.name: path.read_bytes() for path in other.iterdir()}
        assert site.mirror.add(site.repository, files) != site.commit

    site.mirror.fail(site.repository, file, move)
    site.check(site.fetch())
    assert site.mirror.head(site.repository) != site.commit


def test_what_is_finished_gives_way_to_the_next_fetch(site: Site) -> None:
    site.fetch()
    partials = site.folder / "home/cache/partial"
    finished = {path.name for path in partials.iterdir() if path.stat().st_nlink > 1}
    assert len(finished) == len(site.files)
    blobs = {path: path.stat().st_mtime_ns for path in (site.folder / "home/cache/blobs").iterdir()}
    files = {**site.files, "LICENSE": b"another"}
    commit = site.mirror.add(site.repository, files)
    Site(site.mirror, site.repository, commit, files, site.folder).fetch()
    kept = {path.name for path in partials.iterdir() if path.stat().st_nlink > 1}
    assert len(kept) == len(files) and len(finished - kept) == 1
    # The cache knows by the time of modification that nobody wrote to its files.
    assert blobs == {path: path.stat().st_mtime_ns for path in blobs}


def test_what_another_fetch_is_writing_is_left_to_it(site: Site) -> None:
    """Also where the worker cache has these bytes of an earlier snapshot."""
    digest = "d" * 64
    partial, blob = (site.folder / "home/cache" / folder / digest for folder in ("partial", "blobs"))
    for path in (partial, blob):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half")
    with exclusive_lock(partial_lock(partial.parent, digest)):
        site.fetch()
        assert partial.read_bytes() == b"half"
    site.mirror.add(site.repository, files := {**site.files, "LICENSE": b"another"})
    Site(site.mirror, site.repository, site.mirror.head(site.repository), files, site.folder).fetch()
    assert not list(partial.parent.glob(f"{digest}*"))

"""How far inside an address lies, and that no redirect leads from outside of a network to its inside."""

from collections.abc import Iterator

import httpx2
import pytest

from tasks.errors import Refused
from tasks.source import hub_session
from tasks.source.hub_session import LOCAL, NEVER, PRIVATE, PUBLIC, check_request, check_response, depth


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", PUBLIC),
        ("2606:4700::1", PUBLIC),
        ("10.0.0.1", PRIVATE),
        ("192.168.1.1", PRIVATE),
        ("fd00::1", PRIVATE),
        ("127.0.0.1", LOCAL),
        ("::1", LOCAL),
        ("::ffff:127.0.0.1", LOCAL),
        ("169.254.169.254", NEVER),
        ("::ffff:169.254.169.254", NEVER),
        ("fe80::1%eth0", NEVER),
        ("0.0.0.0", NEVER),
        ("224.0.0.1", NEVER),
    ],
)
def test_depth(address: str, expected: int) -> None:
    assert depth(address) == expected


PLACES = {
    "hub.test": "8.8.8.8",
    "cdn.test": "9.9.9.9",
    "mirror.test": "10.0.0.1",
    "files.test": "10.0.0.2",
    "rebound.test": "127.0.0.1",
}


def ask(hub: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub)
    # There is no resolver for these names here.
    resolve = hub_session.addresses
    monkeypatch.setattr(hub_session, "addresses", lambda host: [PLACES[host]] if host in PLACES else resolve(host))
    check_request(httpx2.Request("GET", address))


@pytest.mark.parametrize(
    ("hub", "address"),
    [
        ("https://hub.test", "https://hub.test/a"),
        ("https://hub.test", "https://cdn.test/a"),
        ("https://mirror.test", "https://files.test/a"),
        ("https://mirror.test", "https://cdn.test/a"),
        ("http://127.0.0.1:1", "http://localhost:2/a"),
        ("http://mirror.test", "http://unknown.invalid/a"),
    ],
)
def test_outwards_and_sidewards_is_allowed(hub: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(hub, address, monkeypatch)


@pytest.mark.parametrize(
    ("hub", "address", "why"),
    [
        ("https://hub.test", "https://files.test/a", "inside"),
        ("https://hub.test", "https://rebound.test/a", "inside"),
        ("https://hub.test", "https://127.0.0.1/a", "inside"),
        ("https://hub.test", "https://2130706433/a", "inside"),
        ("https://hub.test", "https://[::ffff:127.0.0.1]/a", "inside"),
        ("https://mirror.test", "https://localhost/a", "inside"),
        ("http://127.0.0.1:1", "http://169.254.169.254/a", "inside"),
        ("https://hub.test", "http://cdn.test/a", "not encrypted"),
        ("https://hub.test", "http://hub.test/a", "not encrypted"),
        ("https://hub.test", "ftp://cdn.test/a", "not an http or https address"),
    ],
)
def test_inwards_is_refused(hub: str, address: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match=rf"{hub} redirects to .*{why}.*; check HF_ENDPOINT"):
        ask(hub, address, monkeypatch)


class Body(httpx2.SyncByteStream):
    def __init__(self, *blocks: bytes) -> None:
        self.blocks, self.closed = blocks, False

    def __iter__(self) -> Iterator[bytes]:
        yield from self.blocks

    def close(self) -> None:
        self.closed = True


LISTING, FILE = "https://hub.test/api/models/a/b", "https://hub.test/a/b/resolve/main/model.safetensors"


def answer(address: str, status: int, body: Body, encoding: str = "identity") -> httpx2.Response:
    headers = {"Content-Encoding": encoding}
    return httpx2.Response(status, headers=headers, stream=body, request=httpx2.Request("GET", address))


@pytest.mark.parametrize(("address", "status"), [(LISTING, 200), (LISTING, 404), (FILE, 404)])
def test_a_listing_or_an_error_may_not_grow_without_bound(
    address: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_session, "ANSWER_BYTES", 8)
    whole = answer(address, status, body := Body(b"1234", b"5678"))
    check_response(whole)
    assert whole.read() == b"12345678" and body.closed
    endless = answer(address, status, Body(b"1234", b"5678", b"9"))
    check_response(endless)
    with pytest.raises(httpx2.DecodingError, match="an answer of more than 8 bytes"):
        endless.read()


def test_a_file_is_not_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_session, "ANSWER_BYTES", 8)
    file = answer(FILE, 200, Body(b"1234", b"5678", b"9"))
    check_response(file)
    assert file.read() == b"123456789"


def test_a_compressed_answer_is_refused() -> None:
    with pytest.raises(httpx2.DecodingError, match="a compressed answer, although plain bytes were requested"):
        check_response(answer(FILE, 200, Body(b"x"), "gzip"))


def test_the_session_has_each_check_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with httpx2.Client() as client:
        monkeypatch.setattr(hub_session, "get_session", lambda: client)
        for _ in range(2):
            hooks = hub_session.hub_session().event_hooks
            assert hooks == {"request": [check_request], "response": [check_response]}

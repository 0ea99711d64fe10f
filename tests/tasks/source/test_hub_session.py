"""How far inside an address lies, and that no redirect leads from outside of a network to its inside."""

import httpx2
import pytest

from tasks.errors import Refused
from tasks.source import hub_session
from tasks.source.hub_session import LOCAL, NEVER, PRIVATE, PUBLIC, check_request, depth


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

"""Downloads from servers that misbehave as the Hub mirror does not: redirects, ignored ranges, long bodies."""

import gzip
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tasks.errors import Corrupt, HubUnavailable, Refused
from tasks.source import download as download_module
from tasks.source import hub_retry
from tasks.source.download import download
from tasks.source.hub import HubFile, HubRepository
from tests.fixtures.scripted_server import AnsweringServer as Server
from tests.fixtures.scripted_server import answering, endless, reset

DATA = bytes(range(256)) * 800
FILE = HubFile("model.safetensors", len(DATA), "", hashlib.sha256(DATA).hexdigest())
REPOSITORY = HubRepository("a/b", "0" * 40, (), False, False, None, (), (FILE,))


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    with answering() as hub, answering() as elsewhere:
        hub.answer = elsewhere.answer = lambda _: (200, {}, DATA)
        yield hub, elsewhere


@pytest.fixture
def get(
    servers: tuple[Server, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[bytes, int]]:
    monkeypatch.setattr(hub_retry, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{servers[0].port}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def run() -> tuple[bytes, int]:
        arrived: list[int] = []
        download(REPOSITORY, FILE, tmp_path / "out" / FILE.path, tmp_path / "partials", arrived.append, print)
        return (tmp_path / "out" / FILE.path).read_bytes(), sum(arrived)

    return run


Get = Callable[[], tuple[bytes, int]]


def keep_partial(tmp_path: Path, size: int) -> None:
    (tmp_path / "partials").mkdir()
    (tmp_path / "partials" / FILE.digest).write_bytes(DATA[:size])


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(servers: tuple[Server, Server], get: Get) -> None:
    hub, elsewhere = servers
    hub.answer = lambda _: (302, {"Location": f"http://localhost:{elsewhere.port}/blob"}, b"")
    assert get() == (DATA, len(DATA))
    assert hub.asked[0]["authorization"] == "Bearer hf_secret"
    assert "authorization" not in elsewhere.asked[0]
    assert "hf_secret" not in str(elsewhere.asked)


def test_the_same_host_on_another_port_gets_no_token_either(servers: tuple[Server, Server], get: Get) -> None:
    hub, elsewhere = servers
    hub.answer = lambda _: (302, {"Location": f"http://127.0.0.1:{elsewhere.port}/blob"}, b"")
    get()
    assert "authorization" not in elsewhere.asked[0]


def test_a_range_survives_the_redirect(servers: tuple[Server, Server], get: Get, tmp_path: Path) -> None:
    hub, elsewhere = servers
    keep_partial(tmp_path, 1000)
    hub.answer = lambda _: (302, {"Location": f"http://localhost:{elsewhere.port}/blob"}, b"")
    elsewhere.answer = lambda _: (206, {"Content-Range": f"bytes 1000-{len(DATA) - 1}/{len(DATA)}"}, DATA[1000:])
    assert get() == (DATA, len(DATA))
    assert elsewhere.asked[0]["range"] == f"bytes=1000-{len(DATA) - 1}"


def test_a_server_that_ignores_the_range_is_taken_from_the_start(
    servers: tuple[Server, Server], get: Get, tmp_path: Path
) -> None:
    keep_partial(tmp_path, 1000)
    assert get() == (DATA, len(DATA))
    assert len(servers[0].asked) == 1


def test_a_wrong_range_is_not_appended(servers: tuple[Server, Server], get: Get, tmp_path: Path) -> None:
    keep_partial(tmp_path, 1000)
    servers[0].answer = lambda _: (206, {"Content-Range": f"bytes 7-{len(DATA) - 1}/{len(DATA)}"}, DATA[7:])
    with pytest.raises(HubUnavailable, match="other bytes than were requested"):
        get()
    assert (tmp_path / "partials" / FILE.digest).stat().st_size == 1000


def test_a_refused_range_begins_anew(servers: tuple[Server, Server], get: Get, tmp_path: Path) -> None:
    keep_partial(tmp_path, 1000)
    servers[0].answer = lambda request: (416, {}, b"") if "Range" in request.headers else (200, {}, DATA)
    assert get() == (DATA, len(DATA))


def test_a_body_longer_than_listed_is_refused(servers: tuple[Server, Server], get: Get, tmp_path: Path) -> None:
    servers[0].answer = lambda _: (200, {}, DATA + b"more")
    with pytest.raises(Corrupt, match="arrived 2 times with another digest"):
        get()
    assert not (tmp_path / "partials" / FILE.digest).exists()


def test_a_page_in_place_of_the_file_is_refused(servers: tuple[Server, Server], get: Get) -> None:
    servers[0].answer = lambda _: (200, {}, b"<html>Please log in</html>" * 10000)
    with pytest.raises(Corrupt, match="check the proxy"):
        get()


def test_answers_without_bytes_are_not_asked_for_ever(servers: tuple[Server, Server], get: Get) -> None:
    servers[0].answer = lambda _: (200, {}, b"")
    with pytest.raises(HubUnavailable, match="without further bytes"):
        get()
    assert len(servers[0].asked) == hub_retry.ATTEMPTS


def test_very_large_files_come_in_several_ranges(
    servers: tuple[Server, Server], get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "RANGE_BYTES", 100_000)

    def part(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        start, end = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        return 206, {"Content-Range": f"bytes {start}-{end}/{len(DATA)}"}, DATA[start : end + 1]

    servers[0].answer = part
    assert get() == (DATA, len(DATA))
    assert len(servers[0].asked) == 3


def test_what_the_hub_forbids_is_not_asked_again(servers: tuple[Server, Server], get: Get) -> None:
    servers[0].answer = lambda _: (404, {"X-Error-Code": "EntryNotFound"}, b"")
    with pytest.raises(Exception, match=r"a/b has no file model.safetensors"):
        get()
    assert len(servers[0].asked) == 1


def test_two_downloads_of_one_file_do_not_mix(servers: tuple[Server, Server], get: Get, tmp_path: Path) -> None:
    outcomes: list[Path] = []

    def run(number: int) -> None:
        destination = tmp_path / f"out{number}" / "file"
        download(REPOSITORY, FILE, destination, tmp_path / "partials", lambda _: None, print)
        outcomes.append(destination)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in outcomes] == [DATA] * 4


@pytest.mark.parametrize("announced", [len(DATA) - 1, len(DATA) + 1, 10**15])
def test_another_size_than_listed_is_refused_before_the_bytes_come(
    servers: tuple[Server, Server], get: Get, announced: int
) -> None:
    servers[0].answer = lambda _: (200, {"Content-Length": str(announced), "Connection": "close"}, DATA)
    with pytest.raises(Corrupt, match="arrived 2 times with another digest"):
        get()
    assert len(servers[0].asked) == 2


def test_a_file_shorter_than_listed_is_not_asked_for_ever(
    servers: tuple[Server, Server], get: Get, tmp_path: Path
) -> None:
    def answer(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes] | None:
        if "Range" in request.headers:
            return 416, {}, b""
        # Without a length, the end of the connection is the end of the file.
        request.send_response(200)
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(DATA[:-1])
        request.close_connection = True
        return None

    servers[0].answer = answer
    with pytest.raises(HubUnavailable, match="without further bytes"):
        get()
    assert len(servers[0].asked) <= 2 * hub_retry.ATTEMPTS


def test_an_endless_file_does_not_fill_the_disk(servers: tuple[Server, Server], get: Get, tmp_path: Path) -> None:
    servers[0].answer = endless(200)
    written: list[int] = []
    with pytest.raises(Corrupt, match="arrived 2 times with another digest"):
        download(REPOSITORY, FILE, tmp_path / "out" / "x", tmp_path / "partials", written.append, print)
    assert max(written) <= 1024 * 1024 and sum(count for count in written if count > 0) < 2 * len(DATA) + 2 * 1024**2
    assert not (tmp_path / "out").exists()


def test_packed_bytes_are_not_unpacked(servers: tuple[Server, Server], get: Get) -> None:
    bomb = gzip.compress(bytes(len(DATA) * 100))
    servers[0].answer = lambda _: (200, {"Content-Encoding": "gzip"}, bomb)
    with pytest.raises(HubUnavailable, match="compressed answer, although plain bytes were requested"):
        get()
    assert servers[0].asked[0]["accept-encoding"] == "identity"


def test_a_reset_in_the_middle_goes_on(servers: tuple[Server, Server], get: Get) -> None:
    def broken(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes] | None:
        if "Range" not in request.headers:
            request.send_response(200)
            request.send_header("Content-Length", str(len(DATA)))
            request.end_headers()
            request.wfile.write(DATA[:100_000])
            reset(request)
            return None
        start = int(request.headers["Range"].removeprefix("bytes=").split("-")[0])
        return 206, {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}, DATA[start:]

    servers[0].answer = broken
    assert get() == (DATA, len(DATA))


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://169.254.169.254/x"])
def test_a_redirect_leads_to_no_secret_place(servers: tuple[Server, Server], get: Get, location: str) -> None:
    servers[0].answer = lambda _: (302, {"Location": location}, b"")
    with pytest.raises(Refused, match="redirects to .*; check HF_ENDPOINT"):
        get()


def test_a_redirect_in_circles_ends(servers: tuple[Server, Server], get: Get) -> None:
    hub, elsewhere = servers
    hub.answer = lambda _: (302, {"Location": f"{elsewhere.url}/x"}, b"")
    elsewhere.answer = lambda _: (302, {"Location": f"{hub.url}/x"}, b"")
    with pytest.raises(HubUnavailable, match=r"redirects in circles for model.safetensors of a/b"):
        get()
    # The way back to the Hub does not bring the token back.
    assert sum("authorization" in asked for asked in hub.asked) == hub_retry.ATTEMPTS


def test_a_file_that_is_whole_never_grows(servers: tuple[Server, Server], get: Get, tmp_path: Path) -> None:
    """A listing may give its digest with a larger size: the worker cache has the same file, under that digest."""
    keep_partial(tmp_path, len(DATA))
    os.link(tmp_path / "partials" / FILE.digest, tmp_path / "blob")
    end = {"Content-Range": f"bytes {len(DATA)}-{len(DATA) + 3}/*"}
    servers[0].answer = lambda _: (206, end, b"more")
    larger = replace(FILE, size=len(DATA) + 4)
    with pytest.raises(HubUnavailable, match="other bytes than were requested"):
        download(REPOSITORY, larger, tmp_path / "out" / "x", tmp_path / "partials", lambda _: None, print)
    assert (tmp_path / "blob").read_bytes() == DATA

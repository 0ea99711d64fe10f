"""Listings as no sound Hub gives them: each is refused in one sentence, or waited for, and none is believed."""

import gzip
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx2
import pytest
from huggingface_hub import constants

from tasks.errors import AccessDenied, Corrupt, HubUnavailable, InvalidRecipe, NotFound, RateLimited, Refused
from tasks.source import hub, hub_retry, hub_session
from tasks.source.hub import HubRepository, read_repository
from tasks.source.hub_errors import explain
from tests.fixtures.scripted_server import Answer, AnsweringServer, Told, answering, endless, listing, reset, silence
from tests.fixtures.servers import free_port

COMMIT = "a" * 40
STORED = {"sha256": "d" * 64, "size": 9, "pointerSize": 100}
SMALL = {"rfilename": "config.json", "size": 2, "blobId": "b" * 40}
LARGE = {"rfilename": "model.safetensors", "size": 9, "blobId": "c" * 40, "lfs": STORED}
SOUND = listing("a/b", COMMIT, [SMALL, LARGE])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringServer]:
    with answering() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setattr(hub_retry, "FIRST_PAUSE_SECONDS", 0.01)
        monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.5)
        running.answer = SOUND
        yield running


def read(revision: str = "main") -> HubRepository:
    return read_repository("a/b", revision, print)


def first(server: AnsweringServer, *answers: Answer) -> None:
    """Answer the first requests so, and all others soundly."""
    left = list(answers)

    def answer(request: BaseHTTPRequestHandler) -> Told:
        return (left.pop(0) if left else SOUND)(request)

    server.answer = answer


def test_a_sound_one(server: AnsweringServer) -> None:
    assert [file.digest for file in read().files] == ["b" * 40, "d" * 64]


def test_a_repository_has_the_name_that_the_hub_gives_it(server: AnsweringServer) -> None:
    first(server, listing("New.Owner/B", COMMIT, [SMALL]), listing("../b", COMMIT, [SMALL]))
    assert read().name == "New.Owner/B"
    with pytest.raises(HubUnavailable, match=r"answered for a/b with the name '\.\./b'; try again later"):
        read()


def body(data: bytes, **headers: str) -> Answer:
    return lambda _: (200, headers, data)


@pytest.mark.parametrize(
    "answer",
    [
        body(b"<html>Please log in</html>"),
        body(b"\xff\xfe"),
        body(b"[" * 100_000),
        body(b"[]"),
        body(b"null"),
        body(b"{}"),
        body(b'{"id": "a/b", "siblings": 5}'),
        body(gzip.compress(b"{}"), **{"Content-Encoding": "gzip"}),
        listing("a/b", COMMIT, [{"size": 5}]),
        listing("a/b", 5, []),  # type: ignore[arg-type]
        listing("a/b", COMMIT, [], cardData=None, tags=5),
        listing("a/b", COMMIT, [], lastModified="yesterday"),
    ],
    ids=[
        "page",
        "bytes",
        "deep",
        "list",
        "null",
        "empty",
        "siblings",
        "packed",
        "nameless",
        "sha",
        "tags",
        "date",
    ],
)
def test_what_is_no_listing_is_asked_for_again_and_then_reported(server: AnsweringServer, answer: Answer) -> None:
    first(server, *[answer] * hub_retry.ATTEMPTS)
    with pytest.raises(
        HubUnavailable, match=f"{server.url} answered for a/b with something else than the Hub does"
    ) as told:
        read()
    assert len(str(told.value).splitlines()) == 1
    assert read().commit == COMMIT


@pytest.mark.parametrize(
    "answer", [reset, silence, body(b'{"id"', **{"Content-Length": "9999", "Connection": "close"})]
)
def test_a_broken_line_is_tried_again(server: AnsweringServer, answer: Answer) -> None:
    first(server, answer, answer)
    assert read().commit == COMMIT
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("answer", "said"), [(reset, "broke off while sending a/b"), (silence, "did not send a/b in time")]
)
def test_a_line_that_stays_broken_is_left_to_the_scheduler(server: AnsweringServer, answer: Answer, said: str) -> None:
    first(server, *[answer] * hub_retry.ATTEMPTS)
    with pytest.raises(HubUnavailable, match=rf"^{server.url} {said} \(.+\); try again later\.$"):
        read()


def test_a_hub_that_does_not_answer_at_all_is_told_apart(
    server: AnsweringServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("HF_ENDPOINT", url)
    with pytest.raises(HubUnavailable, match=rf"^{url} cannot be reached for a/b \(.+\); check the network and HF_END"):
        read()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_waited_for_as_long_as_it_asks(
    server: AnsweringServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    naps: list[float] = []
    monkeypatch.setattr("tasks.retry.sleep", naps.append)
    first(server, lambda _: (status, {"Retry-After": "7"}, b""))
    assert read().commit == COMMIT
    assert naps == [7]


def test_an_hour_is_not_waited_for(server: AnsweringServer, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr("tasks.retry.sleep", naps.append)
    server.answer = lambda _: (429, {"Retry-After": "3600"}, b"")
    with pytest.raises(RateLimited, match=rf"{server.url} answered 429 for a/b and asks for a pause until"):
        read()
    assert len(server.asked) == 1 and naps == []


def test_a_disabled_repository_is_not_asked_for_again(server: AnsweringServer) -> None:
    server.answer = lambda _: (403, {"X-Error-Message": "Access to this resource is disabled."}, b"")
    with pytest.raises(AccessDenied, match=r"^a/b has been disabled by the Hub; choose another model\.$"):
        read()
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [400, 404, 410, 451])
def test_a_refusal_of_another_kind_is_not_asked_for_again(server: AnsweringServer, status: int) -> None:
    server.answer = lambda _: (status, {}, b"")
    with pytest.raises(NotFound, match=rf"{server.url} refused the request for a/b with status {status}; check the na"):
        read()
    assert len(server.asked) == 1


def test_a_refusal_has_the_hubs_own_words_and_its_address(server: AnsweringServer) -> None:
    server.answer = lambda _: (451, {"X-Error-Message": "Not available in your country."}, b"")
    with pytest.raises(
        NotFound, match=rf"{server.url} .* 451 \(Not available in your country\.\); .* revision, and HF_ENDPOINT"
    ):
        read()


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (
            httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"),
            InvalidRecipe,
            r"^The certificate of https://hub.test, .*self-signed certificate\); set SSL_CERT_FILE .*`make up`",
        ),
        (
            httpx2.ProxyError("403 Forbidden"),
            HubUnavailable,
            "^The proxy before https://hub.test .*403.*; check HTTPS_PROXY",
        ),
    ],
)
def test_what_stands_before_the_hub_is_told_apart(raised: Exception, kind: type[Exception], said: str) -> None:
    error = explain(raised, "https://hub.test", "a/b", "main")
    assert isinstance(error, kind) and re.search(said, str(error))


def test_offline_mode_is_named(server: AnsweringServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client reads the variable HF_HUB_OFFLINE when it is imported.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InvalidRecipe, match=r"^HF_HUB_OFFLINE forbids asking the Hub for a/b; unset it and try"):
        read()
    assert server.asked == []


@pytest.mark.parametrize("status", [200, 503])
def test_an_endless_answer_is_not_read_to_its_end(
    server: AnsweringServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(hub_session, "ANSWER_BYTES", 5_000_000)
    first(server, *[endless(status)] * hub_retry.ATTEMPTS)
    with pytest.raises(HubUnavailable, match="an answer of more than 5000000 bytes"):
        read()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({**SMALL, "size": None}, "'config.json' of a/b twice, or without its size or digest"),
        ({**SMALL, "size": -1}, "without its size"),
        ({**SMALL, "size": "9"}, "without its size"),
        ({**SMALL, "blobId": None}, "without its size or digest"),
        ({**SMALL, "blobId": "../../../../tmp/x"}, "without its size or digest"),
        ({**LARGE, "lfs": {**STORED, "sha256": "../" * 20 + "tmp"}}, "without its size or digest"),
        (LARGE, "'model.safetensors' of a/b twice"),
        ({**SMALL, "rfilename": "../x"}, r"'../x', which could lead out of its folder"),
        ({**SMALL, "rfilename": "/etc/passwd"}, "could lead out"),
        ({**SMALL, "rfilename": "a\0b"}, r"'a\\x00b', which a terminal or a shell could misread"),
        ({**SMALL, "rfilename": "LICENSE\n"}, "could misread"),
        ({**SMALL, "rfilename": "LICENSE\u202etxt"}, "could misread"),
        ({**SMALL, "rfilename": "LICENSE\ud800"}, "could misread"),
        ({**SMALL, "rfilename": "LICENSE" + "x" * 300}, "too long a name for file systems"),
        ({**SMALL, "rfilename": "LICENSE" + "é" * 150}, "too long a name"),
        ({**SMALL, "rfilename": "model.safetensors/x"}, "is both a file and a folder; report it to the Hub"),
    ],
)
def test_a_listing_that_cannot_be_true(server: AnsweringServer, file: dict[str, Any], message: str) -> None:
    server.answer = listing("a/b", COMMIT, [LARGE, file])
    with pytest.raises(Corrupt, match=message) as told:
        read()
    assert len(str(told.value).splitlines()) == 1
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "name", ["Screenshot at 10.41.02\u202fAM.png", "\u753b\u50cf\u3000 1.png", "\U0001f469\u200d\U0001f4bb.md"]
)
def test_pictures_of_a_card_have_any_name(server: AnsweringServer, name: str) -> None:
    server.answer = listing("a/b", COMMIT, [LARGE, {**SMALL, "rfilename": f"images/{name}"}])
    assert read().file(f"images/{name}")


def test_another_commit_than_the_pinned_one_is_not_taken(server: AnsweringServer) -> None:
    with pytest.raises(HubUnavailable, match=f"at '{'e' * 40}' with commit '{COMMIT}'"):
        read("e" * 40)
    server.answer = listing("a/b", "main", [SMALL])
    with pytest.raises(HubUnavailable, match="at 'main' with commit 'main'"):
        read()


def test_the_token_stays_with_the_hub(server: AnsweringServer) -> None:
    with answering() as elsewhere:
        elsewhere.answer = SOUND
        server.answer = lambda _: (307, {"Location": f"{elsewhere.url}/api/models/c/d"}, b"")
        assert read().commit == COMMIT
        assert server.asked[0]["authorization"] == "Bearer hf_secret"
        assert "hf_secret" not in str(elsewhere.asked)


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("file:///etc/passwd", "not an http or https address"),
        ("ftp://127.0.0.1/x", "not an http or https address"),
        ("gopher://127.0.0.1:25/x", "not an http or https address"),
        ("http://169.254.169.254/latest/meta-data", "inside a network"),
        ("http://[fe80::1]/x", "inside a network"),
        ("http://0.0.0.0:1/x", "inside a network"),
    ],
)
def test_a_redirect_leads_to_no_secret_place(server: AnsweringServer, location: str, why: str) -> None:
    server.answer = lambda _: (302, {"Location": location}, b"")
    with pytest.raises(Refused, match=rf"{server.url} redirects to .*{why}.*; check HF_ENDPOINT"):
        read()
    assert len(server.asked) == 1


def test_a_redirect_in_circles(server: AnsweringServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_retry, "ATTEMPTS", 1)
    server.answer = lambda request: (302, {"Location": request.path}, b"")
    with pytest.raises(HubUnavailable, match="redirects in circles for a/b"):
        read()


@pytest.mark.parametrize(
    ("link", "named"),
    [
        ("Model Terms (v1).gemma", "Model Terms (v1).gemma"),
        ("./Model%20Terms%20(v1).gemma", "Model Terms (v1).gemma"),
        ("https://huggingface.co/a/b/blob/main/Model%20Terms%20%28v1%29.gemma", "Model Terms (v1).gemma"),
        ("https://huggingface.co/a/b/resolve/main/100%25.md?download=true", "100%.md"),
        ("https://huggingface.co/a/b/blob/main/LICENSE#2-use", "LICENSE"),
        ("%2e%2e/secret", None),
        ("https://example.org/LICENSE", None),
    ],
)
def test_the_licence_that_a_card_names(server: AnsweringServer, link: str, named: str | None) -> None:
    files = [{**SMALL, "rfilename": name} for name in ("Model Terms (v1).gemma", "100%.md", "LICENSE")]
    server.answer = listing("a/b", COMMIT, [LARGE, *files], cardData={"license_link": link})
    assert read().licence_file == named

"""The headers Retry-After, in its two forms, and RateLimit, and any other: a wait, told in a sentence."""

from pathlib import Path

import httpx2
from huggingface_hub.errors import HfHubHTTPError

from tasks.source.hub_errors import explain
from tasks.source.hub_retry import asked_wait
from tests.fuzz.target import Target

REQUEST = httpx2.Request("GET", "https://hub.test/")


def parse(data: bytes, _: Path) -> None:
    headers = [(b"Retry-After", data), (b"RateLimit", data)]
    error = HfHubHTTPError("busy", response=httpx2.Response(429, headers=headers, request=REQUEST))
    seconds = asked_wait(error)
    assert seconds is None or seconds >= 0
    assert asked_wait(httpx2.ConnectError("refused")) is None
    raise explain(error, "https://hub.test", "acme/tiny", "main")


TARGET = Target(
    parse=parse,
    measured={"tasks/source/hub_retry.py": ["asked_wait", "_window_left", "_retry_after"]},
    runs=20_000,
    floor=100,
    words=("Mon, 23 Nov 2026 01:00:00 GMT", "-0000", "+9999", "\u00b2", '"api";r=0;t=55'),
    longest=200,
)

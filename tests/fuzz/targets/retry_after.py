"""The header Retry-After, in its two forms and any other."""

from pathlib import Path

from tasks.source.retries import _retry_after
from tests.fuzz.target import Target


def parse(data: bytes, _: Path) -> None:
    seconds = _retry_after(data.decode("latin-1"))
    assert seconds is None or seconds >= 0


TARGET = Target(
    parse=parse,
    measured={"tasks/source/retries.py": ["_retry_after"]},
    runs=20_000,
    floor=100,
    words=("Mon, 23 Nov 2026 01:00:00 GMT", "-0000", "+9999", "\u00b2"),
    longest=200,
)

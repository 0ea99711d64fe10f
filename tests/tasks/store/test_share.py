"""An address that anybody can read from, for a while."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from tasks.errors import NotFound
from tasks.settings import REPOSITORY
from tasks.store.base import Store

SECONDS = 60


def share(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tasks.store.share", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def test_anybody_can_read_from_the_address_that_is_printed(shared: Store) -> None:
    shared.put_bytes("a b/späße", b"hallmark")
    done = share("a b/späße", "--hours", "0.1")
    assert (done.returncode, done.stderr) == (0, "")
    with urllib.request.urlopen(done.stdout.strip()) as answer:
        assert answer.read() == b"hallmark"


def test_what_is_not_there_has_no_address(shared: Store) -> None:
    with pytest.raises(NotFound, match="holds no nothing"):
        shared.presigned("nothing", 60)
    done = share("nothing")
    assert (done.returncode, done.stdout) == (1, "") and "holds no nothing" in done.stderr


@pytest.mark.parametrize("hours", ["0", "-1", "1000"])
def test_a_time_that_no_store_grants_is_refused(hours: str) -> None:
    done = share("name", "--hours", hours)
    assert done.returncode == 2 and f"--hours is {float(hours):g}" in done.stderr


@pytest.mark.parametrize("shared", [pytest.param("s3", marks=pytest.mark.servers)], indirect=True)
def test_an_address_ends_is_for_reading_one_object_alone_and_is_not_logged(shared: Store, s3_server: Any) -> None:
    shared.put_bytes("name", b"hallmark")
    shared.put_bytes("other", b"x")
    address = shared.presigned("name", 600)
    for wrong in (
        urllib.request.Request(address, data=b"x", method="PUT"),
        urllib.request.Request(address, method="DELETE"),
        urllib.request.Request(address.replace("/name?", "/other?")),
    ):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(wrong)
    short, end = shared.presigned("name", 1), time.monotonic() + SECONDS
    with pytest.raises(urllib.error.HTTPError, match="403"):
        while time.monotonic() < end:
            urllib.request.urlopen(short).close()
            time.sleep(0.2)
    assert shared.get_bytes("name") == b"hallmark" and shared.get_bytes("other") == b"x"
    assert "ignature" in address and "ignature" not in s3_server.log.read_text()

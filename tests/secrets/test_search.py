"""The search for secrets sees: every form of a value is planted in every kind of place, and found."""

import base64
import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.fixtures.process_watch import Watch, watching
from tests.fixtures.secret_search import Allowed, Leak, Search, not_allowed

SECRET = "plänted/\"secret\"+'value'="
SEARCH = Search({"token": SECRET, "other": "never-planted"})

WRITTEN = {
    "as it is": SECRET,
    "in an address": f"https://user:{quote(SECRET, safe='')}@host/",
    "in a query": f"?token={quote(SECRET)}",
    "in JSON": json.dumps({"token": SECRET}),
    "in a dictionary's repr": repr({"token": SECRET}),
    "as a login's password": base64.b64encode(f"user:{SECRET}".encode()).decode(),
    "as a login's user": base64.b64encode(f"{SECRET}:x".encode()).decode(),
    "in base 64": base64.b64encode(SECRET.encode()).decode(),
    "in base 64 for addresses": base64.urlsafe_b64encode(f"a:{SECRET}:b".encode()).decode(),
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN.keys())
def test_every_form_is_found_in_a_text_and_in_a_file(text: str, tmp_path: Path) -> None:
    assert SEARCH.text(f"before{text}after", "log") == [Leak("token", "log")]
    (tmp_path / "weights.bin").write_bytes(os.urandom(5000) + text.encode() + os.urandom(5000))
    assert SEARCH.folder(tmp_path) == [Leak("token", "weights.bin")]


@pytest.mark.parametrize("before", range(3))
def test_base_64_is_found_wherever_it_begins(before: int) -> None:
    text = base64.b64encode(b"x" * before + SECRET.encode() + b"y").decode()
    assert SEARCH.text(text, "log")


def test_names_and_links_are_searched(tmp_path: Path) -> None:
    named = Search({"token": "planted-token"})
    (tmp_path / "planted-token").mkdir()
    (tmp_path / "link").symlink_to("/nowhere/planted-token")
    assert {leak.place for leak in named.folder(tmp_path)} == {"name of planted-token", "name of link"}


def test_a_databases_rows_are_searched_where_a_value_lies_in_pieces(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "runs.db") as database:
        database.execute("pragma page_size = 512")
        database.execute("create table xcom (name text, value text)")
        database.execute("insert into xcom values ('n', ?)", ["-" * 500 + SECRET + "-" * 500])
    database.close()
    assert Leak("token", "runs.db xcom.value") in SEARCH.folder(tmp_path)


def test_archives_are_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", SECRET * 9)
    (tmp_path / "old.log.gz").write_bytes(gzip.compress(SECRET.encode() * 9))
    assert {leak.place for leak in SEARCH.folder(tmp_path)} == {"model.zip member config.json", "old.log.gz unpacked"}


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("planted, but not the whole of it")
    (tmp_path / "empty").touch()
    assert SEARCH.folder(tmp_path) == []


def test_only_the_named_secret_is_allowed_and_only_in_the_named_place() -> None:
    allowed = [Allowed("stack/*.json", frozenset({"token"}), "its own file")]
    kept, elsewhere, other = Leak("token", "stack/a.json"), Leak("token", "jobs/a.json"), Leak("other", "stack/a.json")
    assert not_allowed([kept, elsewhere, other], allowed) == [elsewhere, other]


def test_a_value_that_could_be_anywhere_is_no_secret_to_search_for() -> None:
    with pytest.raises(AssertionError, match="by chance"):
        Search({"short": "admin"})


def watch_a_task(program: str, arguments: list[str], environment: dict[str, str], tmp_path: Path) -> Watch:
    """Watch a process that looks as a task does, `python -m tasks NAME ...`, while it runs the program."""
    (tmp_path / "tasks.py").write_text(program)
    command = [sys.executable, "-m", "tasks", "convert", *arguments]
    variables = {"PATH": os.environ["PATH"], **environment}
    with subprocess.Popen(command, cwd=tmp_path, env=variables, start_new_session=True) as process:
        with watching(process.pid) as watch:
            end = time.monotonic() + 30
            while not (tmp_path / "runs").exists() and time.monotonic() < end:
                time.sleep(0.05)
            wanted = watch.samples + 5
            while watch.samples < wanted and time.monotonic() < end:
                time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    return watch


def test_a_token_in_an_argument_is_seen(tmp_path: Path) -> None:
    watch = watch_a_task("import time; open('runs', 'w'); time.sleep(60)", ["--token", "planted-token"], {}, tmp_path)
    (process,) = watch.tasks()["convert"]
    assert Search({"token": "planted-token"}).text(" ".join(process.arguments), "arguments")


def test_what_a_task_gives_its_tool_is_seen(tmp_path: Path) -> None:
    tool = "import subprocess; open('runs', 'w'); subprocess.run(['sleep', '60'])"
    watch = watch_a_task(tool, [], {"HF_TOKEN": "planted-token"}, tmp_path)
    (process,) = watch.tools()
    assert (process.task, process.arguments) == ("convert", ("sleep", "60"))
    assert process.variables["HF_TOKEN"] == "planted-token"

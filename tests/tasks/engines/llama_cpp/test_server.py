"""llama-server, started with the options of the report's line, is asked for the tokens of chats."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.engines.llama_cpp import server
from tasks.engines.llama_cpp.engine import ENGINE
from tasks.engines.llama_cpp.server import read_chats
from tasks.errors import NotFound, ToolFailed, ToolKilled
from tests.tasks.engines.llama_cpp.chats_that_think import TEMPLATES
from tests.tasks.engines.llama_cpp.conftest import source_of

pytestmark = pytest.mark.servers


def read(made: Path, name: str, scratch: Path, without: str = "", chats: Any = None) -> Any:
    source = source_of(made / name)
    facts = {key: value for key, value in source["facts"].items() if key != without}
    return read_chats(made / name / "output", facts, source["chats"] if chats is None else chats, scratch)


def plant(folder: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a script of one line in the place of llama-server."""
    program = folder / "bin" / "llama-server"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)
    monkeypatch.setattr(server, "llama_cpp", lambda: SimpleNamespace(bin=program.parent))


def ids_of(made: Path, name: str) -> list[tuple[int, ...]]:
    return [tuple(ids) for ids in source_of(made / name)["ids"]]


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name not in ("neither", "unread")])
def test_it_reads_the_ids_of_the_source(made_of_templates: Path, tmp_path: Path, name: str) -> None:
    assert read(made_of_templates, name, tmp_path) == ids_of(made_of_templates, name)


@pytest.mark.parametrize(("name", "fact"), [("off", "chats_think"), ("sent", "chats_keep_thoughts")])
def test_facts_of_the_file_decide_its_options(made_of_templates: Path, tmp_path: Path, name: str, fact: str) -> None:
    assert ENGINE.server and fact in ENGINE.server.facts
    assert read(made_of_templates, name, tmp_path, without=fact) != ids_of(made_of_templates, name)


def test_a_chat_that_it_refuses_comes_with_its_words(made_of_templates: Path, tmp_path: Path) -> None:
    question = {"role": "user", "content": "Where does the cat sleep?"}
    chats = [[question], [question, {"role": "tool", "content": "On the stove."}], [question]]
    first, refused, last = read(made_of_templates, "picky", tmp_path, chats=chats)
    assert first == last == ids_of(made_of_templates, "picky")[0]
    assert "no tools here" in refused and "\n" not in refused


def test_a_template_that_it_cannot_read_is_reported_in_its_own_words(made_of_templates: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match=r"unique.*: llama-server failed with exit status 1") as failed:
        read(made_of_templates, "unread", tmp_path)
    assert "unique" in str(failed.value).partition(" Its last lines:")[0]


def test_the_folder_of_its_socket_may_have_a_long_name(made_of_templates: Path, tmp_path: Path) -> None:
    scratch = tmp_path / ("long" * 30)
    scratch.mkdir()
    assert read(made_of_templates, "plain", scratch) == ids_of(made_of_templates, "plain")


def test_a_server_that_somebody_kills_is_no_fault_of_the_file(
    made_of_templates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "kill -KILL $$", monkeypatch)
    with pytest.raises(ToolKilled, match="llama-server was ended by SIGKILL from outside the task"):
        read(made_of_templates, "plain", tmp_path)


def test_a_server_that_never_listens_is_given_up(
    made_of_templates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "exec sleep 100", monkeypatch)
    monkeypatch.setattr(server, "START_SECONDS", 0.3)
    with pytest.raises(ToolKilled, match="was not ready after 0.3 s; check the disk"):
        read(made_of_templates, "plain", tmp_path)


def test_a_server_that_is_not_built_is_no_fault_of_the_file(
    made_of_templates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "llama_cpp", lambda: SimpleNamespace(bin=tmp_path))
    with pytest.raises(NotFound, match=r"llama-server is missing; run: python3 -m deploy\.setup llama\.cpp server$"):
        read(made_of_templates, "plain", tmp_path)


def test_a_server_that_ends_without_a_fault_did_not_serve(
    made_of_templates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "exit 0", monkeypatch)
    with pytest.raises(ToolFailed, match="llama-server failed with exit status 0"):
        read(made_of_templates, "plain", tmp_path)

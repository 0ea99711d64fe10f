"""Asks llama-server which tokens it reads for a chat. It renders chats by a Jinja engine of its own, in C++.

The server is started with the options of the report's line for chats. It listens on a socket in a folder of the task,
which no other user can reach, and it never runs the model.
"""

import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.checkpoint.reasons import reason
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.engines.llama_cpp.usage import NO_BOS, has_bare_chats, options
from tasks.errors import HallmarkError, NotFound, ToolKilled
from tasks.host.tools import tool_beside

PROGRAM, SOCKET = "llama-server", "llama-server.sock"

FRUGAL = "--ctx-size 256 --no-repack --no-warmup --parallel 1 --fit off --offline"
"""Options that change nothing in how chats are rendered. With them the server has read a small file in a tenth of a
second, and needs hardly more memory than the file."""

START_SECONDS = 600.0
"""A large file is mapped and its header is read, which takes long on a slow disk only."""

ANSWER_SECONDS = 60.0
LOOK_SECONDS = 0.02

Ended = Callable[[], HallmarkError | None]


def read_chats(
    folder: Path, facts: Mapping[str, Any], chats: Sequence[Sequence[Mapping[str, Any]]], scratch: Path
) -> list[tuple[int, ...] | str]:
    """Return for each chat the ids that llama-server reads, or its words where it refuses the chat.

    facts: the artifact's; they decide the options. scratch: an empty folder.

    Raises ToolFailed, with the server's own words, where it does not start or ends; NotFound where it is not built;
    ToolKilled where it runs and does not answer; OutOfMemory and ToolKilled as `run_tool` does.
    """
    program = llama_cpp().bin / PROGRAM
    if not program.is_file():
        raise NotFound(f"{program} is missing; run: python3 -m deploy.setup llama.cpp server")
    # llama.cpp finds the other shards beside the first.
    model = min(folder.glob("*.gguf")).resolve()
    line = f"{options(facts)}{NO_BOS if has_bare_chats(facts) else ''} {FRUGAL}"
    argv: list[str | Path] = [program, "--model", model, *line.split(), "--host", SOCKET]
    with tool_beside(argv, cwd=scratch, log=scratch / f"{PROGRAM}.log") as ended:
        server = _Server(scratch, ended)
        server.wait()
        return [server.read(chat) for chat in chats]


class _Server:
    """The running server."""

    def __init__(self, folder: Path, ended: Ended) -> None:
        self._folder, self._ended = folder, ended

    def wait(self) -> None:
        """Return when the server is ready; raise if it ends or takes too long."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if error := self._ended():
                raise error
            try:
                if self._ask("GET", "/health", None)[0] == http.client.OK:
                    return
            except OSError:
                pass  # it does not listen yet
            time.sleep(LOOK_SECONDS)
        raise ToolKilled(f"llama-server was not ready after {START_SECONDS:g} s; check the disk of this host.")

    def read(self, chat: Sequence[Mapping[str, Any]]) -> tuple[int, ...] | str:
        """Return the ids of a chat as the server would read it, or its words where it refuses the chat."""
        try:
            status, answer = self._ask("POST", "/apply-template", {"messages": list(chat)})
            if status == http.client.OK:
                text = {"content": answer["prompt"], "add_special": True, "parse_special": True}
                status, answer = self._ask("POST", "/tokenize", text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # A server that crashes closes the connection before it has ended.
            time.sleep(LOOK_SECONDS)
            words = reason(str(error)) or type(error).__name__
            raise self._ended() or ToolKilled(f"llama-server gave no answer to a chat ({words}).") from error
        if status != http.client.OK:
            return reason(str(answer.get("error", {}).get("message", ""))) or f"it answers with status {status}"
        return tuple(answer["tokens"])

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
        connection = _Connection(self._folder)
        try:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


class _Connection(http.client.HTTPConnection):
    """HTTP over the socket in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._folder = folder

    def connect(self) -> None:
        """Connect to the socket. Its path may be longer than the 107 bytes that an address takes."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_SECONDS)
        folder = os.open(self._folder, os.O_PATH)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{SOCKET}")
        finally:
            os.close(folder)

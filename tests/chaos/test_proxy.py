"""The proxy finds the process at the other end, and lets go off what it was told, once, at the right moment."""

import http.client
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.chaos.processes import kill
from tests.chaos.proxy import Proxy, Request, Trap, When

BODY = b"0123456789"
CLIENT = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
connection.request("PUT", "/b/artifacts/key.json", body=b"0123456789", headers={"Expect": "100-continue"})
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""


@dataclass
class Server:
    """A server that answers with what it got; `got` are the bodies of requests, whole or not."""

    port: int = 0
    got: list[bytes] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            told.got.append(self.rfile.read(int(self.headers["Content-Length"])))
            told.hosts.append(self.headers["Host"])
            self.send_response(200)
            self.send_header("Content-Length", str(len(told.got[-1])))
            self.end_headers()
            self.wfile.write(told.got[-1])

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = listening.server_address[1]
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield told
    listening.shutdown()
    listening.server_close()


def ask(port: int) -> subprocess.CompletedProcess[str]:
    """Ask from another process."""
    return subprocess.run([sys.executable, "-c", CLIENT, str(port)], capture_output=True, text=True, timeout=60)


def test_what_is_asked_and_answered_passes_unchanged(server: Server) -> None:
    seen: list[tuple[Request, int]] = []
    with Proxy(server.port, keep_host=True, seen=lambda request, status: seen.append((request, status))) as proxy:
        assert ask(proxy.port).stdout == "200 0123456789\n"
        assert server.hosts == [f"127.0.0.1:{proxy.port}"]
    with Proxy(server.port, keep_host=False) as proxy:
        ask(proxy.port)
    assert server.hosts[1] == f"127.0.0.1:{server.port}"
    assert seen == [(Request("PUT", "/b/artifacts/key.json", BODY), 200)]


@pytest.mark.parametrize(
    ("when", "arrived"), [("before", []), ("middle", [BODY[:5]]), ("unheard", [BODY]), ("after", [BODY])]
)
def test_a_client_is_killed_at_its_request(server: Server, when: When, arrived: list[bytes]) -> None:
    with Proxy(server.port, keep_host=True) as proxy:
        trap = Trap(lambda request: request.path.endswith("key.json"), when, kill)
        proxy.traps.append(trap)
        assert ask(proxy.port).returncode == -9
        assert proxy.traps == []
        assert ask(proxy.port).returncode == 0, "it goes off once"
    assert server.got[:-1] == arrived


def test_a_client_whose_server_is_gone_loses_its_connection(server: Server) -> None:
    with Proxy(1, keep_host=True) as proxy, pytest.raises(http.client.RemoteDisconnected):
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
        connection.request("PUT", "/", body=b"x")
        connection.getresponse()


def test_another_victim_leaves_the_client_its_answer(server: Server) -> None:
    with subprocess.Popen(["sleep", "600"]) as other, Proxy(server.port, keep_host=True) as proxy:
        proxy.traps.append(Trap(lambda request: True, "middle", lambda client: other.kill()))
        assert ask(proxy.port).stdout == "200 0123456789\n"
        assert other.wait(10) == -9


def test_an_answer_is_lost_or_another_is_given_as_often_as_asked(server: Server) -> None:
    with Proxy(server.port, keep_host=True) as proxy:
        proxy.traps.append(Trap(lambda request: True, "unheard"))
        assert "RemoteDisconnected" in ask(proxy.port).stderr
        assert server.got == [BODY]
        proxy.traps.append(Trap(lambda request: True, "before", instead=(503, b"away"), times=2))
        assert [ask(proxy.port).stdout for _ in range(3)] == ["503 away\n", "503 away\n", "200 0123456789\n"]
        assert server.got == [BODY, BODY]

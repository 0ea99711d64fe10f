"""A proxy between a server and its clients that knows each request, and at a chosen one lets a trap go off.

Whoever is killed by the trap, the proxy behaves as the network would: nothing more is sent for a client that is dead,
and a client whose server is dead finds its connection closed.
"""

import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from tests.chaos.processes import gone, owner_of_port

When = Literal["before", "middle", "unheard", "after"]
"""Of a request: before anything of it is forwarded; with half of its body forwarded; after the server's answer, which
is lost (unheard) or given to the client if that still lives (after)."""

HOP_BY_HOP = {"connection", "transfer-encoding", "expect", "keep-alive"}


@dataclass(frozen=True)
class Request:
    """One request as the client sent it."""

    method: str
    path: str
    body: bytes


@dataclass
class Trap:
    """Goes off at the first `times` requests that match; `spring` is given the process id of the client.

    `instead` is a status and a body that the client is given in place of the server's answer.
    """

    matches: Callable[[Request], bool]
    when: When
    spring: Callable[[int], None] = lambda client: None
    instead: tuple[int, bytes] | None = None
    times: int = 1


@dataclass
class Proxy:
    """Listens at `port` of the loopback address for a server at `upstream`; `seen` gets each answered request.

    `keep_host` forwards the name under which clients ask, as signatures cover it; else the server's own is given.
    """

    upstream: int
    keep_host: bool
    seen: Callable[[Request, int], None] = lambda request, status: None
    traps: list[Trap] = field(default_factory=list)
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "Proxy":
        proxy = self

        class Handler(_Handler):
            proxied = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, request: Request) -> Trap | None:
        """Return the trap that this request sets off, and forget one that has gone off as often as it should."""
        with self._lock:
            for trap in self.traps:
                if trap.matches(request):
                    trap.times -= 1
                    if trap.times == 0:
                        self.traps.remove(trap)
                    return trap
        return None


class _Handler(BaseHTTPRequestHandler):
    proxied: Proxy
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do(self) -> None:
        request = Request(self.command, self.path, self._body())
        trap = self.proxied.take(request)
        client = owner_of_port(self.client_address[1]) if trap else 0
        upstream = http.client.HTTPConnection("127.0.0.1", self.proxied.upstream, timeout=120)
        try:
            if trap and trap.when == "before" and self._spring(trap, client):
                return
            self._send_head(upstream, request)
            half = len(request.body) // 2
            upstream.send(request.body[:half])
            if trap and trap.when == "middle" and self._spring(trap, client):
                return
            upstream.send(request.body[half:])
            answer = upstream.getresponse()
            content = answer.read()
            self.proxied.seen(request, answer.status)
            if trap and trap.when in ("unheard", "after") and self._spring(trap, client):
                return
            self._relay(answer, content)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            upstream.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do

    def _spring(self, trap: Trap, client: int) -> bool:
        """Set the trap off; True where the server's answer is not for the client, who may be dead now."""
        trap.spring(client)
        if trap.instead and not gone(client):
            self._answer(*trap.instead)
            return True
        self.close_connection = trap.when == "unheard" or gone(client)
        return self.close_connection

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send_head(self, upstream: http.client.HTTPConnection, request: Request) -> None:
        upstream.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP | {"host", "content-length"}:
                upstream.putheader(name, value)
        own = f"127.0.0.1:{self.proxied.upstream}"
        upstream.putheader("Host", self.headers["Host"] if self.proxied.keep_host else own)
        if request.body or request.method in ("PUT", "POST", "PATCH"):
            upstream.putheader("Content-Length", str(len(request.body)))
        upstream.endheaders()
        assert upstream.sock is not None
        upstream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _relay(self, answer: http.client.HTTPResponse, content: bytes) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        # What a HEAD would have sent is told, not sent.
        length = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content)

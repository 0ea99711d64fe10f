"""Two WSGI filters around Swift's proxy: a cache in the process, and a log of requests.

Swift expects memcached for container facts and tokens. All servers run in one process here, so a dictionary does the
same, and halves the latency of small objects. The log has one JSON object per line, so that tests can count reads.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlencode

from deploy.local.access_log import AccessLog

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

MAX_ENTRIES = 20_000
"""The most entries; beyond it the oldest are removed. An entry has less than one kilobyte."""


class MemoryCache:
    """The part of Swift's memcache client that its proxy calls, over a dictionary.

    Times are seconds from now; 0 keeps a value until it is evicted. It needs no lock: all callers are green threads of
    one thread, and no method yields.
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Any, float]] = {}

    def set(self, key: str, value: Any, time: float = 0, **_: Any) -> None:
        """Store `value`. The other options only matter for a cache on the network."""
        self._entries.pop(key, None)
        while len(self._entries) >= MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (value, _now() + time if time else float("inf"))

    def get(self, key: str, **_: Any) -> Any:
        """Return the value of `key`, or None where there is none or its time is over."""
        value, end = self._entries.get(key, (None, 0.0))
        if end <= _now():
            self._entries.pop(key, None)
            return None
        return value

    def incr(self, key: str, delta: int = 1, time: float = 0) -> int:
        """Add `delta` to a counter that never falls below zero; return its new value."""
        value = max(0, int(self.get(key) or 0) + delta)
        self.set(key, value, time=time)
        return value

    def decr(self, key: str, delta: int = 1, time: float = 0) -> int:
        """Subtract `delta` from a counter; return its new value."""
        return self.incr(key, -delta, time)

    def delete(self, key: str, **_: Any) -> None:
        """Remove `key`."""
        self._entries.pop(key, None)

    def set_multi(self, mapping: dict[str, Any], server_key: str, time: float = 0, **_: Any) -> None:
        """Store every item of `mapping`."""
        for key, value in mapping.items():
            self.set(key, value, time=time)

    def get_multi(self, keys: Iterable[str], server_key: str) -> list[Any]:
        """Return the values of `keys` in their order, None where there is none."""
        return [self.get(key) for key in keys]


SIGNS = re.compile(r"x-amz-|signature$|awsaccesskeyid$|expires$", re.IGNORECASE)
"""Parameters of a presigned address."""


def _now() -> float:
    return time.monotonic()


def cache_factory(global_conf: dict[str, str], **local_conf: str) -> Callable[[Application], Application]:
    """Return a Paste filter that gives every request the same `MemoryCache` as `swift.cache`."""
    cache = MemoryCache()

    def wrap(app: Application) -> Application:
        def cached(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            environ["swift.cache"] = cache
            return app(environ, start_response)

        return cached

    return wrap


class Readable(Protocol):
    """A request's body."""

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        """Return bytes of the body."""
        ...

    def readline(self, *args: Any, **kwargs: Any) -> bytes:
        """Return one line of the body."""
        ...


class _CountedBody:
    def __init__(self, body: Readable) -> None:
        self._body = body
        self.bytes = 0

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        chunk = self._body.read(*args, **kwargs)
        self.bytes += len(chunk)
        return chunk

    def readline(self, *args: Any, **kwargs: Any) -> bytes:
        chunk = self._body.readline(*args, **kwargs)
        self.bytes += len(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


class RequestLog:
    """Writes `{"time", "method", "path", "query", "status", "received", "sent", "seconds"}` for each finished request.

    `received` and `sent` are bytes of the bodies. `time` is the start of the request in seconds since the epoch.
    Parameters that sign an address are left out, because they are secret.
    """

    def __init__(self, app: Application, log: AccessLog) -> None:
        self._app = app
        self._log = log

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        """Pass the request on, and log it when its reply is closed."""
        began = time.time()
        # Read before the call, because the application rewrites both.
        method, target = environ["REQUEST_METHOD"], environ.get("RAW_PATH_INFO") or environ["PATH_INFO"]
        parameters = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        body = environ["wsgi.input"] = _CountedBody(environ["wsgi.input"])
        status, sent = "0", 0

        def started(line: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            nonlocal status
            status = line.split(" ", 1)[0]
            return start_response(line, headers, *rest)

        answer: Iterable[bytes] = ()
        try:
            answer = self._app(environ, started)
            for chunk in answer:
                sent += len(chunk)
                yield chunk
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
            self._log.write(
                time=round(began, 3),
                method=method,
                path=unquote(target),
                query=urlencode([(k, v) for k, v in parameters if not SIGNS.match(k)]),
                status=int(status),
                received=body.bytes,
                sent=sent,
                seconds=round(time.time() - began, 4),
            )

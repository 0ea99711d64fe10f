"""Guards the session of the Hub's client: checks redirects, and bounds the size of answers that are not files.

The Hub names the address of every large file. A malicious Hub could name an address that only this host can reach: the
metadata service of a cloud, or a server that listens on this machine. Such a request is refused.
"""

import ipaddress
import os
import socket
from collections.abc import Iterator

import httpx2
from huggingface_hub import constants, get_session

from tasks.errors import Refused
from tasks.secrets import plain_address
from tasks.source.hub_errors import ADDRESS

ANSWER_BYTES = 64 * 1024**2
"""The most that a listing or the text of an error may hold; the listing of a repository of 100,000 files has 30 MB."""

PUBLIC, PRIVATE, LOCAL, NEVER = range(4)
"""How far inside the network an address lies. A redirect may not lead farther inside than the Hub itself lies."""


def endpoint() -> str:
    """Return the Hub's address: $HF_ENDPOINT, or the client's default; raises InvalidRecipe for a login in it."""
    address = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    return plain_address(address, "HF_ENDPOINT", "as the password of the connection 'hallmark_hub'")


def hub_session() -> httpx2.Client:
    """Return the client's session, which checks each request, including redirected ones, before it is sent."""
    session = get_session()
    hooks = session.event_hooks
    if check_request not in hooks["request"]:
        asked, answered = [*hooks["request"], check_request], [*hooks["response"], check_response]
        session.event_hooks = {"request": asked, "response": answered}
    return session


def check_request(request: httpx2.Request) -> None:
    """Raise Refused for an address to which the Hub may not redirect."""
    hub, url = httpx2.URL(endpoint()), request.url
    if (url.scheme, url.host, url.port) == (hub.scheme, hub.host, hub.port):
        return
    if url.scheme not in ("http", "https"):
        raise _refused(url, "which is not an http or https address")
    if (hub.scheme, url.scheme) == ("https", "http"):
        raise _refused(url, "which is not encrypted, although the Hub is")
    if max(map(depth, addresses(url.host)), default=PUBLIC) > max(map(depth, addresses(hub.host)), default=PUBLIC):
        raise _refused(url, "which lies inside a network that the Hub is outside of")


def check_response(response: httpx2.Response) -> None:
    """Raise DecodingError for an encoding that was not requested. Bounds every answer but a file, which is streamed."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise httpx2.DecodingError("a compressed answer, although plain bytes were requested")
    if not response.is_success or response.request.url.path.startswith("/api/"):
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Bounded(response.stream)


def addresses(host: str) -> list[str]:
    """Return the addresses of a host; none where the name does not resolve, as behind a proxy."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


def depth(address: str) -> int:
    """Return how far inside an address lies: PUBLIC, PRIVATE (such as 10.0.0.0/8), LOCAL (this host), or NEVER."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return LOCAL
    # Clouds offer credentials at link-local addresses.
    if parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
        return NEVER
    return PUBLIC if parsed.is_global else PRIVATE


class _Bounded(httpx2.SyncByteStream):
    """A body that raises an error once it exceeds ANSWER_BYTES."""

    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for block in self._stream:
            size += len(block)
            if size > ANSWER_BYTES:
                raise httpx2.DecodingError(f"an answer of more than {ANSWER_BYTES} bytes")
            yield block

    def close(self) -> None:
        self._stream.close()


def _refused(url: httpx2.URL, why: str) -> Refused:
    place = f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
    return Refused(f"{endpoint()} redirects to {place}, {why}; check {ADDRESS}, and the proxy or mirror behind it.")

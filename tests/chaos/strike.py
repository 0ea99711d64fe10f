"""A fault of the proxy that kills somebody at a chosen moment of a request.

Whoever is killed, the proxy behaves as the network would: nothing more is forwarded for a client that is dead, and a
client whose server is dead finds its connection closed.
"""

from collections.abc import Callable
from typing import Literal

from tests.chaos.processes import gone, owner_of_port
from tests.fixtures.faulty_proxy import Answer, Broken, Fault, Forward, Request

When = Literal["before", "middle", "unheard", "after"]
"""Of a request: before anything of it is forwarded; with half of its body forwarded; after the server's answer, which
is lost (unheard) or given to the client if that still lives (after)."""


def strike_at(when: When, strike: Callable[[int], None]) -> Fault:
    """Return the fault that calls `strike` with the client's process id at this moment of the request."""

    def fault(request: Request, forward: Forward) -> Answer:
        client = owner_of_port(request.port)

        def struck() -> None:
            strike(client)
            if gone(client) or when == "unheard":
                raise Broken(reset=False)

        if when == "before":
            struck()
        said = forward(request, struck) if when == "middle" else forward(request)
        if when in ("unheard", "after"):
            struck()
        return said

    return fault

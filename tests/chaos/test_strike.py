"""The process at the other end of a request is found, and killed once, at the right moment."""

import subprocess

import pytest

from tests.chaos.processes import kill
from tests.chaos.strike import When, strike_at
from tests.fixtures.echo_server import EchoServer, ask
from tests.fixtures.faulty_proxy import FaultyProxy

BODY = b"0123456789"


@pytest.mark.parametrize(
    ("when", "arrived"), [("before", []), ("middle", [BODY[:5]]), ("unheard", [BODY]), ("after", [BODY])]
)
def test_a_client_is_killed_at_its_request(echo_server: EchoServer, when: When, arrived: list[bytes]) -> None:
    with FaultyProxy(echo_server.url) as proxy:
        planted = proxy.fail(lambda request: request.path.endswith("key.json"), strike_at(when, kill), times=1)
        assert ask(proxy.port).returncode == -9
        assert planted.left == 0
        assert ask(proxy.port).returncode == 0, "it is done once"
    assert echo_server.got[:-1] == arrived


def test_another_victim_leaves_the_client_its_answer(echo_server: EchoServer) -> None:
    with subprocess.Popen(["sleep", "600"]) as other, FaultyProxy(echo_server.url) as proxy:
        proxy.fail(lambda request: True, strike_at("middle", lambda client: other.kill()), times=1)
        assert ask(proxy.port).stdout == "200 0123456789\n"
        assert other.wait(10) == -9


def test_an_answer_that_is_lost_closes_the_connection_of_a_living_client(echo_server: EchoServer) -> None:
    with FaultyProxy(echo_server.url) as proxy:
        proxy.fail(lambda request: True, strike_at("unheard", lambda client: None), times=1)
        assert "RemoteDisconnected" in ask(proxy.port).stderr
        assert echo_server.got == [BODY]

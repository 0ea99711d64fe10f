"""What Airflow's replies mean to the client."""

from collections.abc import Iterator

import pytest

from deploy.local.airflow_api import AirflowApi, AirflowRefused
from tests.fixtures.scripted_server import AnsweringServer, answering


@pytest.fixture
def server() -> Iterator[AnsweringServer]:
    with answering() as server:
        yield server


@pytest.mark.parametrize("status", [403, 404, 422])
def test_only_a_reply_that_says_so_means_that_there_is_no_xcom(server: AnsweringServer, status: int) -> None:
    """A run's id is a part of the message, and it may hold any number."""
    server.answer = lambda _: (status, {}, b"{}")
    with AirflowApi(server.url, "admin", "x") as api:
        api._client.headers["Authorization"] = "Bearer x"
        if status == 404:
            assert api.xcom("release_demo", "manual__2026-11-30T13:24:04.404123+00:00", "pin") is None
        else:
            with pytest.raises(AirflowRefused, match=f": {status} ") as refused:
                api.xcom("release_demo", "manual__2026-11-30T13:24:04.404123+00:00", "pin")
            assert refused.value.status == status

"""Registration through all that a registry does wrong: the next try finishes it, and each version is made once."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tasks.contract import Result, Spec
from tasks.errors import AccessDenied, InvalidRecipe, RegistryUnavailable
from tasks.release.current import read_current
from tasks.release.naming import LONGEST, registered_name
from tasks.release.record import read_release
from tasks.release.registry import CLIENT_SETTINGS, open_registry
from tasks.settings import REPOSITORY
from tasks.store.s3 import S3Store
from tests.fixtures.faulty_proxy import Answer, Broken, Fault, FaultyProxy, Forward, Request, instead, unheard
from tests.fixtures.servers import free_port
from tests.tasks.release.releases import Maker

pytestmark = [pytest.mark.servers, pytest.mark.parametrize("maker", ["s3"], indirect=True)]

WORDS = {"toy-a": "one", "toy-b": "uno"}


@pytest.fixture
def proxy(maker: Maker, client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy before the MLflow server, by which releases are made; `client` asks the server itself."""
    for name, value in {**CLIENT_SETTINGS, "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}.items():
        monkeypatch.setenv(name, value)
    with FaultyProxy(os.environ["MLFLOW_TRACKING_URI"], keep_host=False) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url)
        yield proxy


def posted(path: str, said: str = "") -> Callable[[Request], bool]:
    return lambda request: request.method == "POST" and request.path.endswith(path) and said.encode() in request.body


def versions(maker: Maker, client: MlflowClient) -> list[tuple[str, str]]:
    """Target and number of every version of the maker's repository."""
    prefix = maker.repository.replace("/", "--")
    found = [(found.name, str(found.version)) for found in client.search_model_versions(f"name LIKE '{prefix}--%'")]
    return sorted((name.removeprefix(f"{prefix}--"), version) for name, version in found)


ONCE = [("toy-a", "1"), ("toy-b", "1")]


def refused_after_the_work(request: Request, forward: Forward) -> Answer:
    """The server does what was asked, and something between it and the client answers with an error."""
    forward(request)
    return Answer(502, [], b"bad gateway")


def silence(request: Request, forward: Forward) -> Answer:
    """The server does what was asked, and says nothing for longer than the client waits."""
    forward(request)
    time.sleep(6)
    raise Broken(reset=False)


FAULTS: dict[str, Fault] = {
    "500": instead(500, b'{"error_code": "INTERNAL_ERROR", "message": "database is locked"}'),
    "503": instead(503, b"no healthy upstream"),
    "429": instead(429, b""),
    "a page": instead(200, b"<html>Please log in</html>"),
    "an answer that is lost": unheard,
    "an error after the work was done": refused_after_the_work,
    "silence": silence,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_between_two_versions_is_fixed_by_the_next_try(
    maker: Maker, client: MlflowClient, proxy: FaultyProxy, fault: str
) -> None:
    planted = proxy.fail(posted("/model-versions/create", "toy-b"), FAULTS[fault], times=1)
    with pytest.raises(RegistryUnavailable, match=" a version of .*toy-b.*; try again later"):
        maker.register("r1", WORDS)
    assert planted.left == 0
    facts, context = maker.register("r1", WORDS)
    assert versions(maker, client) == ONCE
    assert [name.rpartition("--")[2] for name in facts["new_versions"]] == ["toy-a/1", "toy-b/1"]
    maker.promote(context)
    for target in WORDS:
        assert client.get_registered_model(f"{maker.repository.replace('/', '--')}--{target}").aliases == {
            "champion": "1"
        }


def test_a_server_that_is_away_after_the_upload_is_waited_for(
    maker: Maker, client: MlflowClient, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(RegistryUnavailable):
            maker.register("r1", WORDS)
    maker.register("r1", WORDS)
    assert versions(maker, client) == ONCE


def test_the_run_of_a_release_is_made_once_though_its_answer_is_lost(
    maker: Maker, client: MlflowClient, proxy: FaultyProxy
) -> None:
    proxy.fail(posted("/runs/create"), unheard, times=1)
    with pytest.raises(RegistryUnavailable):
        maker.register("r1", WORDS)
    maker.register("r1", WORDS)
    experiment = client.get_experiment_by_name(maker.repository)
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_a_question_that_fails_once_is_asked_again_at_once(
    maker: Maker, client: MlflowClient, proxy: FaultyProxy
) -> None:
    away = instead(503, b"")
    models = proxy.fail(lambda request: "/registered-models/get" in request.path, away, times=1)
    experiments = proxy.fail(lambda request: "/experiments/get-by" in request.path, away, times=1)
    maker.register("r1", WORDS)
    assert (models.left, experiments.left) == (0, 0)
    assert versions(maker, client) == ONCE


def test_a_fault_between_two_aliases_is_fixed_by_the_next_try(
    maker: Maker, client: MlflowClient, proxy: FaultyProxy
) -> None:
    _, context = maker.register("r1", WORDS)
    name = f"{maker.repository.replace('/', '--')}--toy-b"
    proxy.fail(posted("/registered-models/alias", name), instead(500, b""), times=3)
    with pytest.raises(RegistryUnavailable, match="champion.*toy-b"):
        maker.promote(context)
    proxy.heal()
    assert client.get_registered_model(name).aliases == {"challenger": "1"}
    maker.promote(context)
    assert client.get_registered_model(name).aliases == {"champion": "1"}


@pytest.mark.parametrize(
    "answer",
    [(401, b"You are not authenticated."), (403, b'{"error_code": "PERMISSION_DENIED", "message": "no permission"}')],
)
def test_refused_credentials_are_reported_and_not_tried_again(
    maker: Maker, proxy: FaultyProxy, answer: tuple[int, bytes]
) -> None:
    asked = proxy.fail(lambda request: True, instead(*answer), times=1000)
    with pytest.raises(AccessDenied, match="check the connection 'hallmark_mlflow'"):
        maker.register("r1", WORDS)
    assert asked.left == 999


def test_a_name_that_mlflow_refuses_is_refused_before_anything_is_made(maker: Maker, client: MlflowClient) -> None:
    for template in ("{owner}/{name}/{target}", "{owner}:{name}:{target}"):
        with pytest.raises(InvalidRecipe, match="which MLflow's addresses do not allow; change the template"):
            registered_name(template, maker.repository, "toy-a")
        with pytest.raises(MlflowException, match="Names cannot contain"):
            client.create_registered_model(template.format(owner="acme", name="tiny", target="toy-a"))
    with pytest.raises(InvalidRecipe, match=f"{LONGEST + 12} characters"):
        registered_name("x" * LONGEST + "{owner}--{name}--{target}", "a/tiny", "toy")


def test_what_mlflow_refuses_for_reasons_of_its_own_is_one_sentence(maker: Maker, proxy: FaultyProxy) -> None:
    refusal = json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": "Names must begin with a team"}).encode()
    proxy.fail(posted("/registered-models/create"), instead(400, refusal), times=1)
    with pytest.raises(
        InvalidRecipe, match=r"refused the registered model .*Names must begin with a team.*; correct what it names"
    ):
        maker.register("r1", WORDS)


class Together:
    """Two registrations in processes of their own, held until both are about to make the first version."""

    def __init__(self, maker: Maker, client: MlflowClient, proxy: FaultyProxy) -> None:
        self._maker = maker
        # Of two who make these at once, one is told to try again, and would come late.
        client.create_experiment(maker.repository)
        for target in WORDS:
            client.create_registered_model(f"{maker.repository.replace('/', '--')}--{target}")
        both = threading.Barrier(2)

        def wait(request: Request, forward: Forward) -> Answer:
            both.wait(60)
            return forward(request)

        proxy.fail(posted("/model-versions/create"), wait, times=2)

    def register(self, *runs: tuple[str, str]) -> list[dict[str, Any]]:
        """Register the same files by each (release, state folder); return what each told."""
        inputs = {}
        for target, word in WORDS.items():
            _, artifact = self._maker.artifact(word)
            inputs[f"artifact:{target}"] = artifact.key
            inputs[f"verdict:{target}"] = self._maker.verdict(target, artifact, 0.01)[1].key
        started = []
        for number, (run, home) in enumerate(runs):
            parameters = self._maker.parameters(run, list(WORDS)).model_dump(mode="json")
            spec, told = self._maker.root / f"spec-{number}.json", self._maker.root / f"result-{number}.json"
            spec.write_text(Spec(task="register", parameters=parameters, inputs=inputs).to_json())
            command = [sys.executable, "-m", "tasks", "register", str(spec), "--result", str(told)]
            environment = {
                **os.environ,
                "HALLMARK_HOME": str(self._maker.root / home),
                "HALLMARK_STORE": self._maker.store.url,
            }
            started.append((subprocess.Popen(command, cwd=REPOSITORY, env=environment), told))
        return [self._told(process, told) for process, told in started]

    @staticmethod
    def _told(process: subprocess.Popen[bytes], told: Path) -> dict[str, Any]:
        assert process.wait(120) == 0
        return Result.from_json(told.read_bytes()).facts


def test_two_releases_of_the_same_files_at_once_share_their_versions(
    maker: Maker, client: MlflowClient, proxy: FaultyProxy
) -> None:
    told = Together(maker, client, proxy).register(("r1", "home"), ("r2", "home"))
    numbers = [
        {target.target: target.version for target in read_release(maker.store, facts["release"]).targets}
        for facts in told
    ]
    assert numbers[0] == numbers[1]
    assert sorted(numbers[0].items()) == versions(maker, client)
    new = [name for facts in told for name in facts["new_versions"]]
    assert len(new) == len(set(new)) == 2, "each version is new to one release"


def test_two_runs_of_one_release_on_two_hosts_make_it_once(
    maker: Maker, client: MlflowClient, proxy: FaultyProxy
) -> None:
    told = Together(maker, client, proxy).register(("r1", "host-a"), ("r1", "host-b"))
    assert told[0]["outcomes"] == told[1]["outcomes"] == {"toy-a": "passed", "toy-b": "passed"}
    known = {target.target: target.version or "" for target in read_release(maker.store, told[0]["release"]).targets}
    assert sorted(known.items()) == versions(maker, client)
    assert (
        open_registry().find_version(f"{maker.repository.replace('/', '--')}--toy-a", "0" * 64, lambda _: True) is None
    )


def test_two_promotions_at_once_lose_nothing(
    maker: Maker, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    contexts = [maker.register(run, {target: WORDS[target]})[1] for run, target in (("r1", "toy-a"), ("r2", "toy-b"))]
    other = threading.Thread(target=maker.promote, args=(contexts[1],))

    def let_the_other_go_on(request: Request, forward: Forward) -> Answer:
        other.start()
        # It has time for all of it, and waits where it must.
        other.join(timeout=4)
        return forward(request)

    with FaultyProxy(os.environ["AWS_ENDPOINT_URL_S3"]) as store:
        writes = store.fail(
            lambda asked: asked.method == "PUT" and "current.json" in asked.path, let_the_other_go_on, times=1
        )
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
        assert isinstance(maker.store, S3Store)
        contexts[0].store = S3Store(maker.store.bucket, maker.store.prefix)
        slow = Maker(tmp_path, contexts[0].store, maker.repository)
        slow.promote(contexts[0])
        assert writes.left == 0
        other.join()
    assert sorted(name.rpartition("--")[2] for name in read_current(maker.store, maker.repository).names) == list(WORDS)
    for target in WORDS:
        name = f"{maker.repository.replace('/', '--')}--{target}"
        assert client.get_registered_model(name).aliases == {"champion": "1"}

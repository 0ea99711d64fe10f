"""The same consumption where the store is a folder: another address, no credentials, and nothing else."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.manifest import Manifest
from tasks.release.record import read_release
from tasks.release.register import register
from tasks.release.usage import usages
from tasks.store.artifacts import complete_attempt, write_manifest
from tasks.store.local import LocalStore
from tests.fixtures.released import ReleasedStack
from tests.fixtures.servers import MlflowServer
from tests.integration.consumption.conftest import RunnerSays
from tests.integration.consumption.consumer import Consumer, artifact_of, outside, run
from tests.integration.consumption.prompts import TARGETS
from tests.integration.consumption.test_files import CHECK, DOWNLOAD
from tests.tasks.release.releases import Maker

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]


@dataclass(frozen=True)
class FolderRelease:
    """The demo's artifacts, registered and promoted from a store in a folder; the lines of each target's report."""

    url: str
    lines: dict[str, dict[str, str]]
    artifacts: dict[str, Manifest]
    root: Path


@pytest.fixture(scope="module")
def folder_release(
    released_stack: ReleasedStack,
    plain_files: Callable[[str], Path],
    mlflow_beside_folder: tuple[MlflowServer, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> FolderRelease:
    server, root = mlflow_beside_folder
    store = LocalStore(root)
    maker = Maker(tmp_path_factory.mktemp("folder-release"), store, "folder/tiny-tales")
    context, artifacts = maker.context("r1"), dict[str, Manifest]()
    for target in TARGETS:
        folder, artifact = plain_files(target), artifact_of(released_stack, target)
        for entry in artifact.files:
            store.put_file(artifact.prefix + entry.path, folder / entry.path)
        complete_attempt(store, artifact)
        write_manifest(store, artifact)
        maker.give(context, f"artifact:{target}", folder, artifact)
        maker.give(context, f"verdict:{target}", *maker.verdict(target, artifact, 0.01))
        artifacts[target] = artifact
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", server.url)
        facts = register(maker.parameters("r1", list(TARGETS)), context)
        maker.promote(context)
    lines = {}
    for released in read_release(store, facts["release"]).passed:
        artifact = artifacts[released.target]
        told = usages(released, artifact, store.uri(artifact.own_name))
        lines[released.target] = {usage.title: usage.lines for usage in told}
    return FolderRelease(server.url, lines, artifacts, root)


# Another store changes nothing that depends on the format: one artifact in one file, and one in several, will do.
@pytest.mark.parametrize("consumer", ["gguf-q4_k_m", "onnx-fp32"], indirect=True)
def test_the_reports_lines_work_without_any_credentials(
    consumer: Consumer, folder_release: FolderRelease, runner_says: RunnerSays, tmp_path: Path
) -> None:
    lines = folder_release.lines[consumer.target]
    variables = outside({"MLFLOW_TRACKING_URI": folder_release.url}, consumer.python, tmp_path)
    done = run([consumer.python, "-c", lines["Python, from the registry"]], tmp_path, variables)
    assert done.stdout == f"{runner_says(consumer.target).texts[0]}\n", done.stderr
    done = run(["bash", "-euc", lines[DOWNLOAD]], tmp_path, variables)
    assert done.returncode == 0, done.stderr
    checked = run([sys.executable, "-I", "-S", "-c", lines[CHECK]], tmp_path, {})
    files = folder_release.artifacts[consumer.target].files
    assert checked.stdout == f"{len(files)} files are what was released\n", checked.stderr


def test_weights_take_their_room_once(folder_release: FolderRelease) -> None:
    for artifact in folder_release.artifacts.values():
        weights = max(artifact.files, key=lambda entry: entry.size)
        released = folder_release.root / artifact.prefix / weights.path
        found = [path for path in folder_release.root.rglob(Path(weights.path).name) if path.is_file()]
        named = [path for path in found if path.stat().st_size == weights.size]
        assert len(named) == 2, "one in the store, and one below MLflow's artifacts"
        assert all(path.samefile(released) for path in named)

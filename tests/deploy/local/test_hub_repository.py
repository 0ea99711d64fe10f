"""A model is published whole or not at all, under a name that the Hub would take."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from deploy.local import hub_repository
from deploy.local.hub_repository import find, publish, repositories

NAME = "acme/model"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def checkpoint(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / text
    folder.mkdir()
    (folder / "config.json").write_text(text)
    return folder


def served(root: Path) -> str:
    repository = find([root], NAME)
    assert repository and [found.id for found in repositories([root])] == [NAME]
    return (repository.folder / "config.json").read_text()


def left(root: Path) -> set[str]:
    return {path.name for path in (root / "acme").iterdir()} - {"model", ".publishing"}


def test_the_new_files_are_main_and_the_old_ones_an_older_commit(root: Path, tmp_path: Path) -> None:
    commits = [publish([root], NAME, checkpoint(tmp_path, text)) for text in ("first", "second")]
    repository = find([root], NAME)
    assert repository and [revision.commit for revision in repository.revisions()] == commits[::-1]
    assert served(root) == "second" and left(root) == set()


@pytest.mark.parametrize("name", ["model", "acme/my--model", "acme/x.git", "acme/model-", "../model", "acme/.model"])
def test_a_name_that_the_hub_refuses_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a name that the Hub takes"):
        publish([root], name, checkpoint(tmp_path, "first"))
    assert not root.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_copy_leaves_nothing_behind(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    publish([root], NAME, checkpoint(tmp_path, "first"))

    def interrupted(source: Path, target: Path) -> None:
        shutil.copytree(source, target, dirs_exist_ok=True)
        raise error

    monkeypatch.setattr(hub_repository, "_copy", interrupted)
    with pytest.raises((KeyboardInterrupt, OSError)):
        publish([root], NAME, checkpoint(tmp_path, "second"))
    assert served(root) == "first" and left(root) == set()


def test_an_interrupted_exchange_keeps_the_old_model(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish([root], NAME, checkpoint(tmp_path, "first"))
    rename, renames = Path.rename, []

    def once(path: Path, target: Path) -> Path:
        renames.append(path)
        if len(renames) == 2:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(KeyboardInterrupt):
        publish([root], NAME, checkpoint(tmp_path, "second"))
    assert served(root) == "first" and left(root) == set()


def test_what_a_killed_publication_left_is_cleared_by_the_next_one(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish([root], NAME, checkpoint(tmp_path, "first"))
    second = checkpoint(tmp_path, "second")
    if not (child := os.fork()):
        rename = Path.rename
        monkeypatch.setattr(Path, "rename", lambda path, target: (rename(path, target), os._exit(9)))
        publish([root], NAME, second)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert left(root) == {".model.incoming", ".model.outgoing"} and find([root], NAME) is None
    publish([root], NAME, second)
    repository = find([root], NAME)
    assert repository and len(repository.revisions()) == 2, "the old model is an older commit"
    assert served(root) == "second" and left(root) == set()


def test_a_repository_that_is_a_link_is_replaced_and_what_it_names_stays(root: Path, tmp_path: Path) -> None:
    linked = checkpoint(tmp_path, "first")
    (root / NAME).parent.mkdir(parents=True)
    (root / NAME).symlink_to(linked)
    for name in ("second", "third"):
        publish([root], NAME, checkpoint(tmp_path, name))
        assert served(root) == name and left(root) == set()
    assert linked.is_dir() and not (root / NAME).is_symlink()

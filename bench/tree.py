"""A copy of the code at one commit, in which everything runs: what is measured does not change while it is measured."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from bench.texts import write_texts
from tasks.settings import REPOSITORY

STAMP = ".commit"


def resolve(commit: str) -> str:
    """Return the full id of a commit; raises CalledProcessError for an unknown one."""
    command = ["git", "rev-parse", "--verify", f"{commit}^{{commit}}"]
    return subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.strip()


def make_tree(folder: Path, commit: str) -> None:
    """Fill `folder` with the files of `commit`, unless it has them, and what the benchmark adds."""
    stamp = folder / STAMP
    if not (stamp.exists() and stamp.read_text() == commit):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
    # The measuring itself is as it is here.
    shutil.copytree(
        REPOSITORY / "bench", folder / "bench", dirs_exist_ok=True, ignore=shutil.ignore_patterns("results")
    )
    for recipe in (folder / "bench" / "recipes").iterdir():
        shutil.copyfile(recipe, folder / "dags" / "recipes" / recipe.name)
    shutil.copyfile(folder / "bench" / "floor_dag.py", folder / "dags" / "floor.py")
    write_texts(folder / "dags" / "recipes" / "texts")
    stamp.write_text(commit)

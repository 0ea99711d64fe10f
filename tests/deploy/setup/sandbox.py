"""Folders of one test, with wheels small enough to install in no time."""

import hashlib
import zipfile
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


def tiny_wheel(folder: Path, version: str, package: str = "tiny_package") -> Path:
    """Write a wheel of a package that tells its version."""
    wheel = folder / f"{package}-{version}-py3-none-any.whl"
    info = f"{package}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{package}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel

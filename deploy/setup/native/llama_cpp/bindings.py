"""Installs the Python bindings of llama.cpp into an environment: their wheel, and a link to the built library."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.setup.errors import SetupError
from deploy.setup.native.llama_cpp import flags
from deploy.setup.native.llama_cpp.cache import current_folder
from deploy.setup.native.llama_cpp.source import version
from deploy.setup.places import log_file
from deploy.setup.steps import run


def build_digest() -> str:
    """Return the digest of the build for this checkout and this machine."""
    return flags.build_digest(version())


def install(name: str, environment: Path, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
    """Install the bindings, and link the library into their own folder as `lib`, where they look for it.

    Raises:
        SetupError: if the library is not built, or the installation fails.
    """
    build = current_folder()
    wheel = next((build / "bindings").glob("*.whl"), None)
    if wheel is None:
        raise SetupError("llama.cpp's library is not built: run `python3 -m deploy.setup llama.cpp lib`.")
    run(
        [*command, wheel],
        log=log_file(name),
        env=env,
        otherwise=f"The bindings of llama.cpp could not be installed: run `python3 -m deploy.setup env {name}`.",
    )
    package = next(environment.glob("lib/python*/site-packages/llama_cpp"))
    (package / "lib").symlink_to(build / "lib")

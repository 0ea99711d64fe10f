"""Locks the runtimes: resolves the requirements of a declaration (NAME.toml) to exact versions with hashes (NAME.txt).

All machines then install the same bytes. torch is left out of the locks; see TORCH_AND_CUDA.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.setup.errors import SetupError
from deploy.setup.places import RUNTIMES, log_file
from deploy.setup.runtimes import BOOTSTRAP, declaration, installed_apart, names
from deploy.setup.steps import run, step
from deploy.setup.uv import uv_at_hand

HEADER = "# Locked by `python3 -m deploy.setup lock {name}`: change {name}.toml instead.\n"

TORCH_AND_CUDA = ("torch", "triton", "nvidia-", "cuda-")
"""Packages that no lock may contain: torch differs by index, and CUDA's gigabytes are useless without a GPU."""


def lock(chosen: list[str], *, upgrade: bool) -> None:
    """Lock the runtimes `chosen`, or all if it is empty.

    A runtime is locked after the runtimes that it includes, with their versions.

    upgrade: take the newest versions; otherwise each locked version that still fits is kept.

    Raises:
        SetupError: for an unknown runtime, requirements that contradict each other, and a forbidden package.
    """
    known = [*names(), BOOTSTRAP]
    if unknown := set(chosen) - set(known):
        raise SetupError(f"There is no runtime {sorted(unknown)[0]!r}: name some of {', '.join(known)}.")
    for name in sorted(chosen or known, key=lambda name: len(included(name))):
        with step(name, "locking"):
            lock_one(name, upgrade=upgrade)


def included(name: str, within: Sequence[str] = ()) -> list[str]:
    """Return all runtimes that the runtime `name` includes, directly or through another one.

    Raises:
        SetupError: if a runtime includes itself.
    """
    if name in within:
        raise SetupError(
            f"deploy/runtimes/{name}.toml includes itself: remove it from 'includes' of {within[-1]}.toml."
        )
    direct = declaration(name).includes
    return sorted({*direct, *(inner for other in direct for inner in included(other, [*within, name]))})


def lock_one(name: str, *, upgrade: bool) -> None:
    """Lock one runtime. The old lock is replaced only when the new one is complete."""
    uv, env = uv_at_hand()
    declared, others = declaration(name), included(name)
    lock_file = RUNTIMES / f"{name}.txt"
    constraints = [RUNTIMES / file for file in ("constraints.txt", "floors.txt", *(f"{other}.txt" for other in others))]
    options = ["--generate-hashes", "--no-header", "--no-annotate", "--python-version", "3.11"]
    options += ["--upgrade"] if upgrade else []
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=RUNTIMES) as scratch:
        wanted, apart, new = Path(scratch, "requirements.in"), Path(scratch, "apart.txt"), Path(scratch, "lock.txt")
        wanted.write_text("\n".join(line for each in (name, *others) for line in declaration(each).requires) + "\n")
        # The resolved versions must be compatible with the packages that are installed apart.
        apart.write_text("\n".join(declared.installed_apart) + "\n")
        options += [part for file in (*constraints, apart) for part in ("--constraints", str(file))]
        if lock_file.exists():
            new.write_bytes(lock_file.read_bytes())
        run(
            [uv, "pip", "compile", "--quiet", *options, wanted, "--output-file", new],
            log=log_file(f"lock-{name}"),
            env=env,
            otherwise=f"deploy/runtimes/{name}.toml could not be locked: change the requirement named above.",
        )
        compiled = new.read_text()
        if declared.torch:
            compiled = without_torch(compiled)
        refuse(name, compiled)
        new.write_text(HEADER.format(name=name) + comments_on_apart(installed_apart(name)) + compiled)
        new.replace(lock_file)


def without_torch(compiled: str) -> str:
    """Return the compiled requirements without torch and the packages that only its GPU builds need.

    The environment gets these packages together with torch, from torch's own index.
    """
    kept = [block for block in blocks(compiled) if not is_forbidden(block.partition("==")[0])]
    return "".join(kept)


def blocks(compiled: str) -> Iterator[str]:
    """Yield each requirement of a compiled file, together with the lines of its hashes."""
    block = ""
    for line in compiled.splitlines(keepends=True):
        if block and not line[:1].isspace():
            yield block
            block = ""
        block += line
    if block:
        yield block


def is_forbidden(package: str) -> bool:
    """Return whether the package is one that no lock may contain."""
    return any(package == word or (word.endswith("-") and package.startswith(word)) for word in TORCH_AND_CUDA)


def refuse(name: str, compiled: str) -> None:
    """Raise SetupError if the compiled requirements contain a forbidden package."""
    for line in compiled.splitlines():
        package = line.partition("==")[0]
        if is_forbidden(package):
            raise SetupError(
                f"Locking {name} brought in {package}, which no lock may contain: remove the requirement that needs it "
                f"from deploy/runtimes/{name}.toml, or declare 'torch' there."
            )


def comments_on_apart(requirements: Sequence[str]) -> str:
    """Return comment lines with the packages that are installed apart, so that the digest of the lock covers them."""
    return "".join(f"# Installed apart: {line}\n" for line in requirements)

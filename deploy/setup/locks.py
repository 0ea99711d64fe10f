"""Locking: from what a declaration requires (NAME.toml) to exact versions with hashes (NAME.txt)."""

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
"""What no lock may hold: torch's bytes differ by source, and CUDA's gigabytes are useless where there is no GPU."""


def lock(chosen: list[str], *, upgrade: bool) -> None:
    """Lock the runtimes `chosen` (all where none is), keeping each version that still fits unless told to upgrade.

    A runtime is locked after those that it includes, with their versions.

    Raises:
        SetupError: where there is no such runtime, requirements contradict each other, or a forbidden package comes in.
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
        SetupError: where it includes itself.
    """
    if name in within:
        raise SetupError(
            f"deploy/runtimes/{name}.toml includes itself: remove it from 'includes' of {within[-1]}.toml."
        )
    direct = declaration(name).includes
    return sorted({*direct, *(inner for other in direct for inner in included(other, [*within, name]))})


def lock_one(name: str, *, upgrade: bool) -> None:
    """Lock one runtime; its lock is replaced only when the new one is whole."""
    uv, env = uv_at_hand()
    declared, others = declaration(name), included(name)
    lock_file = RUNTIMES / f"{name}.txt"
    constraints = [RUNTIMES / file for file in ("constraints.txt", "floors.txt", *(f"{other}.txt" for other in others))]
    options = ["--generate-hashes", "--no-header", "--no-annotate", "--python-version", "3.11"]
    options += ["--upgrade"] if upgrade else []
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=RUNTIMES) as scratch:
        wanted, apart, new = Path(scratch, "requirements.in"), Path(scratch, "apart.txt"), Path(scratch, "lock.txt")
        wanted.write_text("\n".join(line for each in (name, *others) for line in declaration(each).requires) + "\n")
        # What is resolved has to fit what is installed apart.
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
        new.write_text(HEADER.format(name=name) + told_apart(installed_apart(name)) + compiled)
        new.replace(lock_file)


def without_torch(compiled: str) -> str:
    """Return the compiled requirements without torch and what only its builds for a GPU bring.

    The environment gets them with torch itself, from torch's own source.
    """
    kept = [block for block in blocks(compiled) if not is_forbidden(block.partition("==")[0])]
    return "".join(kept)


def blocks(compiled: str) -> Iterator[str]:
    """Give each requirement of a compiled file with the lines of its hashes."""
    block = ""
    for line in compiled.splitlines(keepends=True):
        if block and not line[:1].isspace():
            yield block
            block = ""
        block += line
    if block:
        yield block


def is_forbidden(package: str) -> bool:
    """Return whether no lock may hold the package."""
    return any(package == word or (word.endswith("-") and package.startswith(word)) for word in TORCH_AND_CUDA)


def refuse(name: str, compiled: str) -> None:
    """Raise SetupError where the compiled requirements hold a forbidden package."""
    for line in compiled.splitlines():
        package = line.partition("==")[0]
        if is_forbidden(package):
            raise SetupError(
                f"Locking {name} brought in {package}, which no lock may hold: remove the requirement that needs it "
                f"from deploy/runtimes/{name}.toml, or declare there which 'torch' it holds."
            )


def told_apart(requirements: Sequence[str]) -> str:
    """Return comment lines that name what is installed apart, so that the lock's digest covers it."""
    return "".join(f"# Installed apart: {line}\n" for line in requirements)

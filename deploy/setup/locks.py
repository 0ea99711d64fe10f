"""Locking: from what people write (NAME.in) to exact versions with hashes (NAME.txt)."""

from pathlib import Path

from deploy.setup.errors import SetupError
from deploy.setup.places import RUNTIMES, log_file
from deploy.setup.runtimes import BOOTSTRAP, apart, names
from deploy.setup.steps import run, step
from deploy.setup.uv import uv_at_hand

HEADER = "# Locked by `python3 -m deploy.setup lock {name}`: change {name}.in instead.\n"

BEFORE_OTHERS = "control"
"""Locked first: `dev` is the control runtime and tools, with the same versions."""

FORBIDDEN = ("torch", "triton", "nvidia-", "cuda-")
"""What no lock may hold: torch's bytes differ by source, and CUDA's gigabytes are useless where there is no GPU."""


def lock(chosen: list[str], *, upgrade: bool) -> None:
    """Lock the runtimes `chosen` (all where none is), keeping each version that still fits unless told to upgrade.

    Raises:
        SetupError: where there is no such runtime, requirements contradict each other, or a forbidden package comes in.
    """
    known = [BEFORE_OTHERS, *(name for name in [*names(), BOOTSTRAP] if name != BEFORE_OTHERS)]
    if unknown := set(chosen) - set(known):
        raise SetupError(f"There is no runtime {sorted(unknown)[0]!r}: name some of {', '.join(known)}.")
    for name in known:
        if not chosen or name in chosen:
            with step(name, "locking"):
                lock_one(name, upgrade=upgrade)


def lock_one(name: str, *, upgrade: bool) -> None:
    """Lock one runtime; its lock is replaced only when the new one is whole."""
    uv, env = uv_at_hand()
    lock_file, new = RUNTIMES / f"{name}.txt", RUNTIMES / f".{name}.new"
    constraints = ["constraints.txt", "floors.txt", *(["control.txt"] if name == "dev" else [])]
    options = ["--generate-hashes", "--no-header", "--no-annotate", "--python-version", "3.11"]
    options += ["--upgrade"] if upgrade else []
    options += [part for file in constraints for part in ("--constraints", str(RUNTIMES / file))]
    try:
        if lock_file.exists():
            new.write_bytes(lock_file.read_bytes())
        run(
            [uv, "pip", "compile", "--quiet", *options, RUNTIMES / f"{name}.in", "--output-file", new],
            log=log_file(f"lock-{name}"),
            env=env,
            otherwise=f"deploy/runtimes/{name}.in could not be locked: change the requirement named above.",
        )
        compiled = new.read_text()
        refuse(name, compiled)
        new.write_text(HEADER.format(name=name) + told_apart(apart(name)) + compiled)
        new.replace(lock_file)
    finally:
        new.unlink(missing_ok=True)


def refuse(name: str, compiled: str) -> None:
    """Raise SetupError where the compiled requirements hold a forbidden package."""
    for line in compiled.splitlines():
        package = line.partition("==")[0]
        if any(package == word or (word.endswith("-") and package.startswith(word)) for word in FORBIDDEN):
            raise SetupError(
                f"Locking {name} brought in {package}, which no lock may hold: remove the requirement that needs it "
                f"from deploy/runtimes/{name}.in."
            )


def told_apart(requirements: Path | None) -> str:
    """Return comment lines that name what is installed apart, so that the lock's digest covers it."""
    if requirements is None:
        return ""
    lines = [line for line in requirements.read_text().splitlines() if line and not line.startswith("#")]
    return "".join(f"# Installed apart: {line}\n" for line in lines)

"""Explore one parser: `python -m tests.fuzz.explore NAME WORK [libFuzzer's options and folders]`.

libFuzzer mutates the inputs of the folders and keeps in the first what reaches something new. As soon as the parser
breaks the guarantee, it ends and leaves the input in WORK (`crash-*`, `timeout-*`, `oom-*`).
"""

import resource
import sys
from pathlib import Path

import atheris

from tests.fuzz.guarantee import check
from tests.fuzz.mutate import mutate_json

MEMORY_BYTES = 4 * 1024**3
"""Address space: Python, its libraries and libFuzzer's own tables take up to 2 GiB of it."""

TIMEOUT_SECONDS, MEMORY_MB = 20, 600
"""For one input of some kilobytes, on a machine whose cores are busy; and for the whole process."""


def main() -> None:
    """Instrument what is imported from here on, and begin."""
    name, place, *options = sys.argv[1:]
    work = Path(place).resolve()
    with atheris.instrument_imports(include=["tasks", "yaml"]):
        from tests.fuzz.target import load

        target = load(name)
    folder = work / "folder"
    folder.mkdir(exist_ok=True)
    if target.prepare:
        target.prepare(folder)
    words = work / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), encoding="ascii")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limits = [f"-timeout={TIMEOUT_SECONDS}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={target.longest}"]

    def one(data: bytes) -> None:
        check(target.parse, data, folder, target.allowed)

    def changed(data: bytes, longest: int, seed: int) -> bytes:
        chosen, text = data[: target.prefix], data[target.prefix :]
        return chosen + mutate_json(text, longest - len(chosen), seed, atheris.Mutate)

    arguments = [f"-dict={words}", f"-artifact_prefix={work}/", *limits, "-print_final_stats=1", *options]
    # When it merges, libFuzzer starts this again, by a shell and without quoting.
    again = f"{sys.executable} -m tests.fuzz.explore {name} {work}"
    atheris.Setup([again, *arguments], one, **({"custom_mutator": changed} if target.json else {}))
    atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\' else f"\\x{byte:02x}" for byte in word.encode()
    )


if __name__ == "__main__":
    main()

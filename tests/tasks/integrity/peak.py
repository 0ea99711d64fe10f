"""Compares an artifact with its source in a process of its own: peak.py FOLDER TARGET.

FOLDER has `snapshot` and TARGET. It prints a JSON object, in bytes: `before` and `peak`, the memory that the kernel
cannot take back (RssAnon), before the artifact is opened and at most.
"""

import json
import re
import sys
import threading
from importlib import import_module
from pathlib import Path

from tasks.checkpoint.arrays import open_numbers
from tasks.formats.registry import load_format, parse_target
from tasks.formats.stored import Source
from tasks.integrity.compare import compare
from tests.tasks.formats.analyses import analysis_with


def held() -> int:
    """Return this process's anonymous memory."""
    found = re.search(r"^RssAnon:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return 1024 * int(found[1])


def main() -> None:
    """Compare, and look at the memory every few milliseconds."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    target = parse_target(name)
    module, function = load_format(target.format).tensors.function.split(":")
    describe = getattr(import_module(module), function)
    source = Source(open_numbers(folder / "snapshot"), {}, analysis_with(tied_embeddings=True, layers=100))
    ended, before = threading.Event(), held()
    peak = before

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.003):
            peak = max(peak, held())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    found = compare(name, describe(folder / name, source, {}), source, 1, lambda what, share: None)
    ended.set()
    watcher.join()
    assert found.tensors and not found.lost
    print(json.dumps({"before": before, "peak": peak}))


if __name__ == "__main__":
    main()

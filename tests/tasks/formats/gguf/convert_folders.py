"""Converts folders to GGUF with the product's driver: convert_folders.py FOLDER... writes FOLDER/made.gguf.

One process imports the converter, and a fork of it converts each folder: to import it takes longer than to convert.
"""

import os
import sys
from pathlib import Path

from tasks.formats.gguf import hf_to_gguf


def main() -> None:
    """Convert every folder, and end with the number of those that failed."""
    failed = 0
    for folder in map(Path, sys.argv[1:]):
        if not (child := os.fork()):
            options = ["--model", folder, "--output", folder / "made.gguf", "--decision", folder / "decision.json"]
            sys.argv = ["hf_to_gguf.py", *map(str, options), "--byte-level", "--candidate", "gpt-2"]
            hf_to_gguf.main()
            os._exit(0)
        failed += os.waitpid(child, 0)[1] != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()

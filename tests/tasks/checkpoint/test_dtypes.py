"""One table of dtypes, which needs no library."""

import subprocess
import sys

from tasks.checkpoint.dtypes import DTYPES, FLOATS
from tasks.settings import REPOSITORY


def test_the_table_needs_no_library() -> None:
    program = "import sys; sys.modules['torch'] = None; from tasks.checkpoint import dtypes, headers, snapshot"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_are_unambiguous() -> None:
    assert len({dtype.long_name for dtype in DTYPES.values()}) == len(DTYPES)
    assert set(FLOATS) <= set(DTYPES)

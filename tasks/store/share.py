"""Hand one object to somebody without credentials: `python -m tasks.store.share NAME [--hours 1]` prints an address.

Whoever has the address can read the object until it ends, so it is printed and logged nowhere. The store and its
credentials are those of the environment, as in `eval "$(make --silent env)"`.
"""

import argparse
import sys

from tasks.errors import HallmarkError
from tasks.store.open import open_store

LONGEST_HOURS = 7 * 24
"""S3's own limit."""


def main() -> int:
    """Print the address; return 1, with the reason on standard error, where there is none."""
    parser = argparse.ArgumentParser(prog="python -m tasks.store.share", description=__doc__.split("\n")[0])
    parser.add_argument("name", help="an object's name in the store, as in artifacts/<key>/<attempt>/model.gguf")
    parser.add_argument("--hours", type=float, default=1.0, help="how long the address is good, at most a week")
    options = parser.parse_args()
    if not 0 < options.hours <= LONGEST_HOURS:
        parser.error(f"--hours is {options.hours:g}; choose more than 0 and at most {LONGEST_HOURS}")
    try:
        print(open_store().presigned(options.name, round(options.hours * 3600)))
    except HallmarkError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

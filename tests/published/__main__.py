"""Releases tiny models with the tokenizers of widely used models: `make tokenizers`.

Arguments: patterns of names in models.toml; without any, all of them. The exit status is 1 if a target becomes
something else than the table says.
"""

import argparse
import sys
import tempfile
import time
from fnmatch import fnmatchcase
from pathlib import Path

from tasks.settings import home
from tests.mutations.places import TARGETS
from tests.published.check import release, unexpected
from tests.published.models import published


def main() -> int:
    """Release the chosen models one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"])
    patterns = parser.parse_args().patterns
    chosen = [model for name, model in published().items() if any(fnmatchcase(name, one) for one in patterns)]
    if not chosen:
        parser.error(f"no model matches; there are {', '.join(published())}")
    differing = []
    for place, model in enumerate(chosen, 1):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="published-") as folder:
            found = release(model, home() / "published", Path(folder) / "made")
        said = ", ".join(f"{target} {found[target][0]}" for target in ("source", *TARGETS) if target in found)
        print(f"{place}/{len(chosen)} {model.name}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
        for line in unexpected(model, found):
            differing.append(line)
            print(f"  {line}", flush=True)
    print(f"{len(chosen)} models, {len(differing)} targets became something else than models.toml says")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

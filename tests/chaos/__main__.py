"""`make chaos N=20 SEED=7`: release, kill, recover, check, again and again; `ROUND=3` repeats one round of them."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.faults import fault_of
from tests.chaos.harness import play
from tests.chaos.stack import chaos_stack


def main() -> int:
    """Play the rounds and print a row each; return 1 as soon as something that must hold does not."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("rounds", type=int, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="what the later rounds are drawn from")
    parser.add_argument("--round", type=int, help="this one only")
    options = parser.parse_args()
    # Whoever is told to end stops the stack first, also where a shell has it ignore the interrupt.
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, lambda *_: sys.exit(1))
    numbers = [options.round] if options.round else range(1, options.rounds + 1)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, chaos_stack(Path(folder) / "home") as chaos:
        print(f"{'round':>5} {'seed':>5}  {'victim and moment':<44} {'seconds':>7}  recovered", flush=True)
        for number in numbers:
            seed = f"{options.seed}-{number}"
            outcome = play(chaos, fault_of(number, options.seed), seed, Path(folder) / f"model-{number}")
            print(
                f"{number:>5} {options.seed:>5}  {outcome.fault!s:<44} {outcome.seconds:>7.0f}  {outcome.recovered}",
                flush=True,
            )
            if outcome.wrong:
                print("\n".join(f"WRONG: {line}" for line in outcome.wrong))
                print(f"Again, this round only: make chaos N={options.rounds} SEED={options.seed} ROUND={number}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

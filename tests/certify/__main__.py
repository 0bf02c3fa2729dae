"""`python -m certify [LOSS...]` with tests/ on the path: search, print the table, exit 1 where the bar is not held."""

from __future__ import annotations

import argparse
import sys
import time

from certify import classification
from certify.search import search

SUBJECTS = [*classification.SUBJECTS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("losses", nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--starts", type=int, default=300)
    parser.add_argument("--climbs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    given = parser.parse_args()
    held = True
    for subject in SUBJECTS:
        if given.losses and subject.loss.name not in given.losses:
            continue
        begun = time.monotonic()
        for w in search(subject, seed=given.seed, starts=given.starts, climbs=given.climbs, steps=given.steps):
            held &= w.share <= 1.0
            print(
                f"{subject.loss.name:34} {w.aspect:16} {w.regime:9} {w.error:9.3g} ulp  condition {w.condition:8.2g}"
                f"  share {w.share:7.2g}  got {w.got!r} want {w.want!r}  {w.point}",
                flush=True,
            )
        print(f"{subject.loss.name}: {time.monotonic() - begun:.1f} s", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

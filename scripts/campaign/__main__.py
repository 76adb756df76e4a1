"""An attack on the whole program: kills and failing disks at system calls, damaged files of every format that is read,
hostile templates, a lying hub, markup in texts. It needs Python 3 alone, and strace for kills and failing disks.

    cargo build --release --bin groma
    python3 scripts/campaign --short          # what .ci/run does, at most three minutes
    python3 scripts/campaign                  # the whole campaign, by hand; its counts are in SECURITY.md
    python3 scripts/campaign --only kills --tries kills=50 --seed 7 --keep failures

A try fails where the program panics, aborts, hangs (20 s) or takes more than 1 GiB over the size of its input, ends with an
exit code that it does not document, gives other bits or leaves something behind after a kill, lets markup into a page, or lets
a token go where it must not. Failures are printed with their seed and, with --keep, their files are kept.
"""

import argparse
import os
import random
import sys
import time

# Nothing is left in the repository.
sys.dont_write_bytecode = True

import faults
import hub
import kills
import mutations
import payloads
import templates
from place import Place
from running import Tally

KINDS = {
    "kills": (kills, 500, 80),
    "faults": (faults, 338, 60),
    "mutations": (mutations, 30000, 2000),
    "templates": (templates, 95, 40),
    "hub": (hub, 54, 54),
    "payloads": (payloads, 54, 54),
}
"""What is tried, how often in the whole campaign, and how often in the short form."""

SHORT_SECONDS = {"kills": 35, "faults": 25, "mutations": 60, "templates": 20, "hub": 15, "payloads": 15}
"""The short form ends each kind after so long, however many tries that were."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a few tries of each kind, at most three minutes")
    parser.add_argument("--only", action="append", choices=KINDS, help="this kind; may be repeated")
    parser.add_argument("--tries", action="append", default=[], metavar="KIND=COUNT", help="how many tries of a kind")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn")
    parser.add_argument("--groma", default="target/release/groma", help="the program")
    parser.add_argument("--keep", help="a directory for the files of tries that failed")
    arguments = parser.parse_args()
    tries = {kind: (short if arguments.short else whole) for kind, (_, whole, short) in KINDS.items()}
    tries.update((kind, int(count)) for kind, count in (pair.split("=") for pair in arguments.tries))
    groma = os.path.abspath(arguments.groma)
    tallies = []
    for kind in arguments.only or KINDS:
        tally = Tally(kind, arguments.keep, SHORT_SECONDS[kind] if arguments.short else None)
        begun = time.monotonic()
        with Place(groma) as place:
            KINDS[kind][0].attack(place, tally, tries[kind], random.Random(f"{arguments.seed} {kind}"))
        tally.seconds = time.monotonic() - begun
        tallies.append(tally)
        print(tally.line(), flush=True)
    print("\n| kind | tries | failures |\n|---|---|---|")
    for tally in tallies:
        print(f"| {tally.kind} | {tally.tries} | {len(tally.failures)} |")
    sys.exit(any(tally.failures for tally in tallies))


if __name__ == "__main__":
    main()

"""Fuzz everything, print a table of how the tries ended, and each fault."""

import argparse
import logging
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from fuzz.arguments import argument_tries
from fuzz.attempt import Outcome, Rng, Try, attempt
from fuzz.checkpoints import checkpoint_tries, write_checkpoint
from fuzz.registries import registry_tries
from fuzz.stores import image_tries, plate_tries

TARGETS: dict[str, Callable[[Rng, Path, Path], Iterator[Try]]] = {
    "images": image_tries,
    "plates": plate_tries,
    "checkpoints": checkpoint_tries,
    "registries": registry_tries,
    "arguments": argument_tries,
}


def fuzz(target: str, seed: int, tries: int, scratch: Path) -> list[Outcome]:
    """Make this number of tries; the scratch directory must be empty."""
    checkpoint = scratch / "whole.ckpt"
    write_checkpoint(checkpoint)
    rng = np.random.default_rng([seed, list(TARGETS).index(target)])
    return [attempt(one) for one in islice(TARGETS[target](rng, checkpoint, scratch), tries)]


def main() -> int:
    """Return 1 if there were faults."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tries", type=int, default=300, help="of each target")
    arguments = parser.parse_args()
    logging.getLogger("image_translation").setLevel(logging.CRITICAL)
    print(f"{'target':12} {'tries':>6} {'accepted':>9} {'refused':>8} {'faults':>7}")
    faults = []
    for target in arguments.targets or TARGETS:
        with tempfile.TemporaryDirectory() as scratch:
            os.chdir(scratch)
            outcomes = fuzz(target, arguments.seed, arguments.tries, Path(scratch))
        counts = Counter(outcome.kind for outcome in outcomes)
        print(
            f"{target:12} {len(outcomes):6} {counts['accepted']:9} {counts['refused']:8} {counts['fault']:7}",
            flush=True,
        )
        faults += [outcome for outcome in outcomes if outcome.kind == "fault"]
    for fault in faults:
        print(f"\n{fault.what}\n{fault.detail:.2000}".encode("ascii", "backslashreplace").decode())
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())

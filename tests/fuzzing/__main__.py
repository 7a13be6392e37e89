"""`make fuzz`: every target in turn, for SECONDS together; a crash is added to found.jsonl, where a test replays it."""

from __future__ import annotations

import base64
import json
import random
import sys
import traceback
from pathlib import Path

from tests.fuzzing.fuzzer import Crash, Fuzzer
from tests.fuzzing.targets import TARGETS

FOUND = Path(__file__).with_name("found.jsonl")


def main(seconds: float) -> int:
    """0 when nothing was found."""
    seed, found = random.SystemRandom().randrange(2**32), 0
    for target in TARGETS:
        fuzzer = Fuzzer(target, seed)
        try:
            fuzzer.run(seconds=seconds / len(TARGETS))
        except Crash as crash:
            found += 1
            traceback.print_exc()
            line = {"target": crash.target, "given": base64.b64encode(crash.given).decode()}
            with FOUND.open("a") as file:
                file.write(json.dumps(line) + "\n")
        print(
            f"{target.name:<8} {fuzzer.runs:>9,} runs, {len(fuzzer.lines):>4} lines reached (seed {seed})", flush=True
        )
    if found:
        print(f"{found} found: each is now a case of tests/fuzzing/found.jsonl that fails until it is mended.")
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))

"""One of several processes on one home's indexes: `python -m tests.hashsets.index_stress ROLE HOME SECONDS`.

`import` puts versions in force that follow from their number; `pin` pins and checks every answer against the version it
pinned; `damage` spoils a list of files now and then. Each prints how often it did its work.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from hashsets.indexes import FOLDER_NAME, Indexes
from hashsets.matching import changeable
from hashsets.matching.listing import LIST_NAME
from hashsets.snapshots import current
from hashsets.store import Store
from tests.hashsets.oracle import Asked, queries_of
from tests.hashsets.test_indexes import on_disk, pdq, put

NUMBERS = range(200)
LEAST_ROUNDS = 4


def listed(version: int) -> set[int]:
    """What a version lists: the first, and then a window that moves on."""
    return {(version * 7 + step) % len(NUMBERS) for step in range(120)}


def _import(home: Path) -> None:
    with Store.open(home) as store:
        known = store.hash_set("a")
        before, after = listed(known.version), listed(known.version + 1)
        put(store, *sorted(after - before), removed=tuple(sorted(before - after)))
        on_disk(store).keep_up(known.uid)


def _check(store: Store, used: Indexes) -> None:
    snapshot = current(store, indexes=used)
    (version,) = snapshot.versions.values()
    asked = queries_of(Asked(number, "pdq", pdq(number)) for number in NUMBERS)
    found = {hit.owner for hit in snapshot.match(asked)}
    if found != listed(version):
        raise SystemExit(f"at version {version} {len(found ^ listed(version))} answers were wrong")
    if used.in_memory:
        raise SystemExit(f"the index was not used: {used.in_memory}")


def _damage(home: Path, draw: random.Random) -> None:
    for path in (home / FOLDER_NAME).glob(f"*/{LIST_NAME}"):
        whole = path.read_bytes()
        torn = path.with_name("torn")
        torn.write_bytes(draw.choice([b"", whole[: len(whole) // 2], whole.replace(b"a", b"b")]))
        torn.rename(path)
    time.sleep(0.2)


def main(role: str, home: str, seconds: str) -> None:
    """Do one role's work for so long, and some rounds at least."""
    changeable.MERGE_AT_ONCE_ROWS = 60
    end, done = time.monotonic() + float(seconds), 0
    with Store.open(Path(home)) as store:
        stays = on_disk(store)
        while time.monotonic() < end or done < LEAST_ROUNDS:
            if role == "import":
                _import(Path(home))
            elif role == "damage":
                _damage(Path(home), random.Random(done))
            else:
                _check(store, stays if done % 2 else on_disk(store))
            done += 1
    print(done)


if __name__ == "__main__":
    main(*sys.argv[1:])

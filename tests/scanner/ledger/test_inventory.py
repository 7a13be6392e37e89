"""The mapped inventory says what the database says, whatever happened between."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from hashsets import hashtypes
from hashsets.sqlite import Database
from hashsets.types import Signal
from scanner.ledger import Ledger, contents
from scanner.ledger.inventory import Inventory, Stretch
from scanner.types import WHOLE, Digests, Fingerprint, MediaKind, Reason, partial

TYPES = hashtypes.names()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = Ledger.open(tmp_path)
    yield opened
    opened.close()


def eager(ledger: Ledger, folder: Path) -> Inventory:
    """An inventory that takes in every content at once."""
    return Inventory(ledger.db, folder / "segments", least_tail=1)


def digests(number: int) -> Digests:
    """The digests of a made content."""
    raw = str(number).encode()
    return Digests(hashlib.md5(raw).digest(), hashlib.sha1(raw).digest(), hashlib.sha256(raw).digest(), len(raw))


def fingerprint(number: int, frames: int, whole: bool = True) -> Fingerprint:
    """A still's one PDQ, or a video's several."""
    values = [hashlib.sha256(f"{number}/{frame}".encode()).digest() for frame in range(max(1, frames))]
    signals = tuple(
        Signal("pdq", value, "r", 50 + index, frame=index if frames else None, frame_ms=index if frames else None)
        for index, value in enumerate(values)
    )
    signals += tuple(Signal("pdq", each.value[::-1], "r/trimmed", 60, orientation="trimmed") for each in signals[:1])
    looked = WHOLE if whole else partial(Reason.TIMEOUT)
    return Fingerprint(MediaKind.VIDEO if frames else MediaKind.IMAGE, looked, signals)


def rows(stretch: Stretch) -> Counter[tuple[object, ...]]:
    """What a stretch asks for, as a bag."""
    return Counter(
        (queries.hash_type, queries.edit, int(owner), value.tobytes(), int(quality), bool(is_frame))
        for queries in stretch.queries
        for owner, value, quality, is_frame in zip(
            queries.owners, queries.values, queries.quality, queries.is_frame, strict=True
        )
    )


def everything(inventory: Inventory, db: Database) -> Counter[tuple[object, ...]]:
    """Every stretch from the first content to the last, one after the other."""
    found: Counter[tuple[object, ...]] = Counter()
    at, top, held = 1, contents.top_seq(db), 0
    while at <= top:
        stretch = inventory.stretch(at, top, TYPES)
        found += rows(stretch)
        at, held = stretch.seq_hi + 1, held + stretch.contents
    (count,) = db.execute("SELECT count(*) FROM content").fetchone()

    assert count == held
    return found


CHANGED = contents.Basis(b"", changed=True)
STEP = st.one_of(
    st.tuples(st.just("new"), st.integers(0, 3)),
    st.tuples(st.just("again"), st.integers(0, 30)),
    st.tuples(st.just("gone"), st.integers(0, 30)),
    st.tuples(st.just("keep_up"), st.just(0)),
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEP, max_size=25))
def test_columns_say_what_the_database_says(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """After any sequence of new, changed and erased contents, mapped or not, the same signals come."""
    folder = tmp_path_factory.mktemp("home")
    ledger = Ledger.open(folder)
    inventory = eager(ledger, folder)
    for number, (step, argument) in enumerate(steps):
        top = contents.top_seq(ledger.db)
        if step == "keep_up":
            inventory.keep_up()
            continue
        with ledger.db.write():
            if step == "new":
                contents.insert(ledger.db, digests(number), fingerprint(number, argument, whole=False))
            elif top and step == "again":
                seq = argument % top + 1
                if ledger.db.execute("SELECT 1 FROM content WHERE seq = ?", (seq,)).fetchone():
                    contents.look_again(ledger.db, seq, fingerprint(1000 + number, argument % 3), CHANGED)
            elif top:
                ledger.db.execute("DELETE FROM content WHERE seq = ?", (argument % top + 1,))
                ledger.db.execute("INSERT OR REPLACE INTO relooked (seq) VALUES (?)", (argument % top + 1,))
    plain = Inventory(ledger.db, folder / "elsewhere")
    (listed,) = ledger.db.execute("SELECT count(*) FROM inventory").fetchone()
    said = everything(inventory, ledger.db)
    with ledger.db.write():
        ledger.db.execute("DELETE FROM inventory")
    truth = everything(plain, ledger.db)
    ledger.close()

    assert truth == said
    event(f"segments: {min(listed, 3)}")


def fill(ledger: Ledger, count: int, first: int = 0) -> None:
    """Record some stills."""
    with ledger.db.write():
        for number in range(first, first + count):
            contents.insert(ledger.db, digests(number), fingerprint(number, 0))


def test_a_damaged_or_foreign_file_is_refused_and_its_stretch_read_from_the_database(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A torn file makes a re-scan slower, never wrong."""
    fill(ledger, 10)
    eager(ledger, tmp_path).keep_up()
    whole = everything(eager(ledger, tmp_path), ledger.db)
    for path in (tmp_path / "segments").glob("inventory-*.pdq"):
        path.write_bytes(path.read_bytes()[:100])

    assert whole == everything(eager(ledger, tmp_path), ledger.db)


def test_a_small_tail_stays_in_the_database_and_segments_grow(ledger: Ledger, tmp_path: Path) -> None:
    """A segment is made only of many contents, so that there are few files."""
    inventory = Inventory(ledger.db, tmp_path / "segments", least_tail=8)
    made = []
    for start in range(0, 200, 4):
        fill(ledger, 4, start)
        made.append(inventory.keep_up())
    (segments,) = ledger.db.execute("SELECT count(*) FROM inventory").fetchone()

    assert 0 < segments <= 25
    assert {0} < set(made)


def test_files_that_a_kill_left_are_removed(ledger: Ledger, tmp_path: Path) -> None:
    """A file without a row says nothing and does not stay."""
    fill(ledger, 3)
    orphan = tmp_path / "segments" / f"inventory-{'0' * 32}.pdq"
    orphan.write_bytes(b"left by a kill")
    eager(ledger, tmp_path).keep_up()

    assert not orphan.exists()


def test_what_cannot_be_opened_is_made_anew(ledger: Ledger, tmp_path: Path) -> None:
    """The next re-scan heals a torn file by itself."""
    fill(ledger, 5)
    eager(ledger, tmp_path).keep_up()
    for path in (tmp_path / "segments").glob("inventory-*.sha1"):
        path.write_bytes(b"torn")
    inventory = eager(ledger, tmp_path)

    assert 5 == inventory.keep_up()
    assert 0 == inventory.keep_up()
    assert 5 == inventory.stretch(1, 5, TYPES).contents


def test_two_processes_do_not_make_segments_at_once(ledger: Ledger, tmp_path: Path) -> None:
    """Whoever comes second leaves it to the first, so that no file vanishes before its row is written."""
    fill(ledger, 5)
    descriptor = os.open(tmp_path / "segments" / "writer.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    assert 0 == eager(ledger, tmp_path).keep_up()
    os.close(descriptor)
    assert 5 == eager(ledger, tmp_path).keep_up()


class Interrupted(Inventory):
    """Something happens once, after contents were read and before the files made of them count."""

    happens: Callable[[], object] | None = None

    def _path(self, stamp: bytes, name: str) -> Path:
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return super()._path(stamp, name)


def test_what_is_looked_at_again_while_a_segment_is_written_is_not_in_it_as_it_was(
    ledger: Ledger, tmp_path: Path
) -> None:
    """The segment does not count, and is made anew."""
    fill(ledger, 5)

    def look_again() -> None:
        with ledger.db.write():
            contents.look_again(ledger.db, 3, fingerprint(1000, 2), CHANGED)

    inventory = Interrupted(ledger.db, tmp_path / "segments", least_tail=1)
    inventory.happens = look_again
    made = inventory.keep_up()

    assert 5 == made
    assert everything(Inventory(ledger.db, tmp_path / "none"), ledger.db) == everything(inventory, ledger.db)
    values = {row[3] for row in everything(inventory, ledger.db)}
    assert {signal.value for signal in fingerprint(1000, 2).signals} <= values
    assert not {signal.value for signal in fingerprint(2, 0).signals} & values

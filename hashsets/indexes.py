"""What sets list, as views: mapped from an index on disk where a set is large, held in memory where it is not.

Owns the folder `listed` beside the database: one index a set, in a folder named by the set's uid. Knows no rule: a set
that is switched off or compared otherwise leaves its index as it is.

Rules
- A view is used only where the index's stamp is the set's own, read in one transaction with the set. Behind: the
  entries that changed since are taken out and put in again. Of another history, torn, foreign: built anew, in pages.
- One process changes an index at a time, under a lock of its own, and always to what the store lists at that moment.
- A folder that cannot be written costs memory and time, never an answer: the set is then read into memory, and
  `in_memory` says why.
- The index of a set that is gone, or has become small, is deleted by whoever comes by and may.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashsets import hashtypes
from hashsets.errors import HashsetsError, NoSuchSet, SegmentRefused, StoreError, UsageError
from hashsets.evidence import listed_rows
from hashsets.locking import WriterLock, open_private
from hashsets.matching import changeable
from hashsets.matching.changeable import Change, View
from hashsets.matching.listing import LIST_NAME
from hashsets.matching.shelf import Shelf
from hashsets.store import SignalColumns, Stamp, Store
from hashsets.types import HashSet

FOLDER_NAME = "listed"
# A set of fewer signals is read from the database in the time in which its index would be opened (bench/runs).
PERSIST_FROM_SIGNALS = 4_096
# What a build gathers at once; a list of more gets several segments, which are merged later. Building takes some five
# times as much again of PDQ (bench/runs).
BUILD_BYTES = 32 * 2**20
# Past so many changed entries reading the whole list is as soon done.
DELTA_MOST = 500_000
# Whoever finds an index being built waits for it: it takes a second or two a million.
BUILD_WAIT_S = 900.0
# An import that moves a set on while its index is read makes the reading begin again.
_ATTEMPTS = 20

_CHECKED = "checked"  # holds the boot id of the last check
_UID = re.compile("[0-9a-f]{32}")

Views = Mapping[str, View]


@dataclass(frozen=True, slots=True)
class Catalogued:
    """Sets at one catalogue number, with the views of each by hash type."""

    number: int
    hash_sets: tuple[HashSet, ...]
    views: tuple[Views, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """Views of a set as stamped; `why` they are in memory though the set is large, else empty."""

    stamp: Stamp
    views: Views
    why: str = ""


class Indexes:
    """The views of a store's sets. What has not changed since the last call is not opened or read again."""

    def __init__(self, store: Store, *, persist_from: int = PERSIST_FROM_SIGNALS) -> None:
        self._store = store
        self._folder = store.folder / FOLDER_NAME
        self._persist_from = persist_from
        self._types = tuple(map(hashtypes.get, hashtypes.names()))  # plug-ins are among them
        self._known: dict[bytes, _Known] = {}
        self._shelves: dict[bytes, Shelf] = {}
        self._mutex = threading.RLock()

    @property
    def in_memory(self) -> dict[bytes, str]:
        """The large sets whose index is not used, and why."""
        return {uid: known.why for uid, known in self._known.items() if known.why}

    def current(self, uids: Sequence[bytes] | None = None) -> Catalogued:
        """Every set in force as it stands, or the named ones, in force or not. Raises StoreError."""
        why: dict[bytes, str] = {}
        with self._mutex:
            self.sweep()
            for _ in range(_ATTEMPTS):
                found, behind = self._ready(uids, why)
                if not behind:
                    return found
                why |= {stamp.uid: reason for stamp in behind if (reason := self._follow(stamp))}
        raise StoreError("the hash sets change faster than they can be read; try again")

    def keep_up(self, uid: bytes) -> None:
        """Bring the index of a set up to date and merge what is due: for whoever has just changed the set.

        What goes wrong here is said by `current`, which has to do without the index then.
        """
        with self._mutex, contextlib.suppress(HashsetsError, OSError):
            self.sweep()
            stamp = self._store.stamp(uid)
            if self._has_index(stamp):
                self._follow(stamp)
                self._check_once_a_boot(stamp)
            shelf = self._shelves.get(uid)
            if shelf is not None and shelf.merge_due():
                self._merge(uid, shelf)
                self._follow(stamp)  # the files it replaced are gone: nothing here should hold them

    def standing(self, uid: bytes) -> str:
        """How the index of a set is: `none` (a small set needs none), `current`, or `behind`, until the next who asks
        brings it up to date or builds it. Raises NoSuchSet."""
        stamp = self._store.stamp(uid)
        if not self._has_index(stamp):
            return "none"
        return "behind" if self._opened(stamp) is None else "current"

    def verify(self, uid: bytes) -> list[str]:
        """What is wrong with the index of a set, in words; what is damaged is not used again, by anybody."""
        folder = self._of(uid)
        if not (folder / LIST_NAME).exists():
            return []
        try:
            Shelf.open(self._types, folder).verify()
        except SegmentRefused as error:
            self._refuse(uid)
            return [f"index: {error}"]
        return []

    def _check_once_a_boot(self, stamp: Stamp) -> None:
        """Read an index against its checksums where that was not done since the machine started; or build it anew."""
        shelf, boot, mark = self._shelves.get(stamp.uid), _boot(), self._of(stamp.uid) / _CHECKED
        if shelf is None or not boot or (mark.exists() and mark.read_bytes() == boot):
            return
        try:
            shelf.verify()
        except SegmentRefused:
            self._refuse(stamp.uid)
            self._follow(stamp)
        with open(open_private(mark), "wb") as file:
            file.write(boot)
            file.truncate()

    def _refuse(self, uid: bytes) -> None:
        """Let nobody use an index that is damaged: the next to come builds it anew."""
        folder = self._of(uid)
        with contextlib.suppress(OSError, StoreError), _locked(folder, "index"):
            (folder / LIST_NAME).unlink()

    def sweep(self) -> None:
        """Delete indexes of sets that have none. The folder is read first: a set is there before its index."""
        try:
            found = [name for name in os.listdir(self._folder) if _UID.fullmatch(name)]
        except OSError:
            return
        for name in found:
            try:
                kept = self._has_index(self._store.stamp(bytes.fromhex(name)))
            except NoSuchSet:
                kept = False
            if not kept:
                with contextlib.suppress(StoreError, OSError), _locked(self._folder / name, "index", wait_s=0):
                    shutil.rmtree(self._folder / name, ignore_errors=True)

    # -- as the store stands -----------------------------------------------------------------------------------------

    def _ready(self, uids: Sequence[bytes] | None, why: Mapping[bytes, str]) -> tuple[Catalogued, list[Stamp]]:
        """Sets and views of one moment; and the stamps of sets whose index must be followed first."""
        behind: list[Stamp] = []
        with self._store.read():
            every = self._store.hash_sets()
            wanted = [known for known in every if (known.in_force if uids is None else known.uid in uids)]
            views = []
            for known in wanted:
                stamp = self._store.stamp(known.uid)
                ready = self._at(stamp, why.get(known.uid, ""))
                views.append(ready or {})
                if ready is None:
                    behind.append(stamp)
            for uid in self._known.keys() - {known.uid for known in every}:
                self._known.pop(uid)
                self._shelves.pop(uid, None)
            return Catalogued(self._store.catalogue(), tuple(wanted), tuple(views)), behind

    def _at(self, stamp: Stamp, why: str) -> Views | None:
        """The views at a stamp: known already, or read into memory where the set is small or there is a reason."""
        known = self._known.get(stamp.uid)
        if known is not None and known.stamp == stamp:
            return known.views
        if not why and self._has_index(stamp):
            return None
        columns = self._store.columns(stamp.uid, stamp.version) if stamp.version else {}
        views = {name: _in_memory(name, each) for name, each in columns.items()}
        self._known[stamp.uid] = _Known(stamp, views, why)
        return views

    def _has_index(self, stamp: Stamp) -> bool:
        return stamp.version > 0 and not self._store.lists_fewer(stamp.uid, self._persist_from)

    # -- on disk -----------------------------------------------------------------------------------------------------

    def _of(self, uid: bytes) -> Path:
        return self._folder / uid.hex()

    def _follow(self, stamp: Stamp) -> str:
        """Bring what is known of a set to its index, and the index to the store; or say why it is not used."""
        try:
            shelf = self._opened(stamp)
            if shelf is None:
                shelf = self._written(stamp)
        except NoSuchSet:
            return ""
        except (SegmentRefused, StoreError) as error:
            return str(error)
        except OSError as error:
            return f"its index cannot be written ({os.strerror(error.errno or 0)})"
        reached = Stamp.of_bytes(shelf.held.state)
        assert reached is not None
        self._shelves[stamp.uid] = shelf
        self._known[stamp.uid] = _Known(reached, shelf.held.views)
        return ""

    def _opened(self, stamp: Stamp) -> Shelf | None:
        """The index, if it is whole and stands at the stamp."""
        try:
            shelf = self._shelf(stamp.uid)
        except SegmentRefused:
            return None
        return shelf if shelf.held.state == stamp.to_bytes() else None

    def _shelf(self, uid: bytes) -> Shelf:
        shelf = self._shelves.get(uid)
        if shelf is None:
            return Shelf.open(self._types, self._of(uid))
        try:
            shelf.refresh()
        except SegmentRefused:
            del self._shelves[uid]
            raise
        return shelf

    def _written(self, stamp: Stamp) -> Shelf:
        """The index, brought to what the store lists now. Raises NoSuchSet, StoreError, OSError."""
        folder = self._of(stamp.uid)
        self._store.stamp(stamp.uid)  # no folder for a set that is gone
        for made in (self._folder, folder):
            made.mkdir(mode=0o700, exist_ok=True)
        with _locked(folder, "index"):
            newest = self._store.stamp(stamp.uid)
            shelf = self._opened(newest) or self._caught_up(newest) or self._built(newest)
            shelf.tidy()
            return shelf

    def _caught_up(self, newest: Stamp) -> Shelf | None:
        """The index with what changed since; None where that cannot be told."""
        try:
            shelf = self._shelf(newest.uid)
            older = Stamp.of_bytes(shelf.held.state)
            if older is None:
                return None
            ids, columns = self._store.changed_since(older, newest, DELTA_MOST)
            gone = np.array(sorted(ids), np.int64)
            changes = {name: _change(name, columns.get(name), gone) for name in shelf.held.views}
            shelf.change(changes, newest.to_bytes())
        except (SegmentRefused, UsageError):
            return None
        return shelf

    def _built(self, newest: Stamp) -> Shelf:
        folder = self._of(newest.uid)
        self._shelves.pop(newest.uid, None)
        _emptied(folder)
        try:
            shelf = Shelf.create(self._types, folder)
            for changes in _gathered(self._store.column_pages(newest)):
                shelf.change(changes)
            shelf.change({}, newest.to_bytes())
        except UsageError as error:  # gone or purged meanwhile
            _emptied(folder)
            raise NoSuchSet("the set has changed while its index was built") from error
        except BaseException:
            _emptied(folder)
            raise
        return shelf

    def _merge(self, uid: bytes, shelf: Shelf) -> None:
        folder = self._of(uid)
        with _locked(folder, "merge", wait_s=0):
            try:
                while shelf.merge(_locked(folder, "index")):
                    pass
            except SegmentRefused:
                self._refuse(uid)


@contextlib.contextmanager
def _locked(folder: Path, name: str, wait_s: float = BUILD_WAIT_S) -> Iterator[None]:
    """The lock of a folder: one writes it (`index`), one merges in it (`merge`). Raises StoreError."""
    with contextlib.closing(WriterLock(folder / name)) as lock, lock.held(wait_s):
        yield


def _boot() -> bytes:
    """What tells this start of the machine from every other; empty where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return b""


def _emptied(folder: Path) -> None:
    """Make room: an index that is not believed, or was not finished, takes as much as the new one."""
    for pattern in (LIST_NAME, "*.segment", "*.withdrawn"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _in_memory(name: str, columns: SignalColumns) -> View:
    return changeable.view_of(hashtypes.get(name), listed_rows(hashtypes.get(name), columns))


def _change(name: str, columns: SignalColumns | None, gone: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Change:
    hash_type = hashtypes.get(name)
    if columns is None:
        return Change(np.empty((0, hash_type.size_bytes), np.uint8), np.empty(0, np.int64), withdrawn=gone)
    rows = listed_rows(hash_type, columns)
    return Change(rows.values, rows.ids, rows.marks, gone)


def _gathered(pages: Iterator[dict[str, SignalColumns]]) -> Iterator[dict[str, Change]]:
    """Pages as changes of many rows each."""
    parts: dict[str, list[Change]] = {}
    gathered = 0
    for page in pages:
        for name, columns in page.items():
            part = listed_rows(hashtypes.get(name), columns)
            parts.setdefault(name, []).append(part)
            gathered += part.values.nbytes + part.ids.nbytes
        if gathered >= BUILD_BYTES:
            yield {name: _together(parts.pop(name)) for name in list(parts)}
            gathered = 0
    yield {name: _together(parts.pop(name)) for name in list(parts)}


def _together(parts: list[Change]) -> Change:
    return Change(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.ids for part in parts]),
        np.concatenate([np.asarray(part.marks) for part in parts]),
    )

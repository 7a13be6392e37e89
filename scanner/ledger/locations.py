"""How places are written in the ledger: as they are or, in a sealed home, as digests with a box beside them.

Rules
- A sealed key says what a walk must know: whether a place is one it met, and which folders lie above. It is the first
  bytes of each folder's digest, from the root down, then the place's own; so what lies in a folder begins as it does.
- A box is opened by the broker of the audit log alone, which notes first that it does (scanner/accountability).
- A root that took another one in keeps what was sealed there: from that folder on digests go on as they began
  (`graft`), and the way to it is in a box too. The folders of roots are configuration, and stay readable.
- An upload without a ref has no location: its key is that of its digest, as ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, Protocol

from hashsets.sqlite import Database
from scanner.errors import LedgerError, UsageError
from scanner.ledger.assets import NAMELESS, UPLOADS, Address, Root
from scanner.location_keys import DIGEST_BYTES, Inside, LocationKeys, Sealer, read

Keys = Callable[[], LocationKeys]
Opened = Mapping[bytes, bytes | None]  # boxes, and what was in them; None: none of the broker's

FOLDER_BYTES: Final = 8  # of a folder's digest; two of 10^6 folders of one root begin alike once in 10^7 homes
_REF: Final = b"\1"  # begins the sealed key of a ref, which thus is none of those without one
OTHER_KEY: Final = (
    "The broker holds another location key than the one this home was sealed under: put the copy of its"
    " location.key back."
)
_FOLDERS_AT_HAND: Final = 4096


class Locations(Protocol):
    """How a ledger writes places."""

    @property
    def sealed(self) -> bool:
        """Whether what is written is digests and boxes, which nobody can read."""
        ...

    def ready(self) -> None:
        """Have at hand what is needed to write. Raises LedgerError, AuditError, UsageError."""
        ...

    def key(self, root_id: int, key: bytes) -> bytes:
        """The key of a place as it is written. Raises what `ready` does."""
        ...

    def box(self, root_id: int, key: bytes) -> bytes | None:
        """What opens it; None where the key as written can be read, or there is nothing to read."""
        ...

    def folder(self, root_id: int, key: bytes) -> bytes:
        """A folder as `above` gives it."""
        ...

    def above(self, written: bytes) -> Iterator[bytes]:
        """The folders above a place as it is written, the nearest first, the root's own (b"") last."""
        ...

    def adopt(self, parent: Root, child: Root) -> bytes:
        """What the keys of an inner root begin with from now on. Inside the caller's transaction."""
        ...


class Readable:
    """As they are."""

    sealed = False

    def ready(self) -> None:
        """See `Locations`."""

    def key(self, _root_id: int, key: bytes) -> bytes:
        """See `Locations`."""
        return key

    def box(self, _root_id: int, _key: bytes) -> bytes | None:
        """See `Locations`."""
        return None

    def folder(self, _root_id: int, key: bytes) -> bytes:
        """See `Locations`."""
        return key

    def above(self, written: bytes) -> Iterator[bytes]:
        """See `Locations`."""
        while written:
            written = written.rpartition(b"/")[0]
            yield written

    def adopt(self, parent: Root, child: Root) -> bytes:
        """See `Locations`."""
        return _way(parent, child) + b"/"


class Sealed:
    """As digests and boxes. `keys` is asked for them once, when they are first needed."""

    sealed = True

    def __init__(self, db: Database, keys: Keys) -> None:
        self._db = db
        self._ask = keys
        self._held: tuple[LocationKeys, Sealer] | None = None
        self._mutex = threading.Lock()
        self._folders: dict[tuple[int, bytes], tuple[bytes, bytes]] = {}
        self._grafts: dict[int, dict[bytes, int]] = {}

    def ready(self) -> None:
        """See `Locations`."""
        self._keys()

    def key(self, root_id: int, key: bytes) -> bytes:
        """See `Locations`."""
        walk = self._keys()[0].walk
        if root_id == UPLOADS:
            return key if key.startswith(NAMELESS) else _REF + walk.below(walk.origin(UPLOADS), key)
        folder, _, name = key.rpartition(b"/")
        above, digest = self._folder(root_id, folder)
        return above + walk.below(digest, name)

    def box(self, root_id: int, key: bytes) -> bytes | None:
        """See `Locations`."""
        if root_id == UPLOADS and key.startswith(NAMELESS):
            return None
        return self._keys()[1].seal(Inside(root_id, key))

    def folder(self, root_id: int, key: bytes) -> bytes:
        """See `Locations`."""
        return self._folder(root_id, key)[0]

    def above(self, written: bytes) -> Iterator[bytes]:
        """See `Locations`."""
        for size in range(len(written) - DIGEST_BYTES, -1, -FOLDER_BYTES):
            yield written[:size]

    def adopt(self, parent: Root, child: Root) -> bytes:
        """See `Locations`."""
        way = _way(parent, child)
        try:
            folder = self.folder(parent.id, way)
            self._db.execute(
                "UPDATE graft SET root_id = ?1, folder = CAST(?2 || folder AS BLOB) WHERE root_id = ?3",
                (parent.id, folder, child.id),
            )
            self._db.execute(
                "INSERT INTO graft (root_id, origin, folder, box) VALUES (?, ?, ?, ?)",
                (parent.id, child.id, folder, self.box(parent.id, way)),
            )
            return folder
        finally:  # what is at hand knows nothing of it; and the number of a root that was not made is given again
            self._folders.clear()
            self._grafts.clear()

    def _folder(self, root_id: int, key: bytes) -> tuple[bytes, bytes]:
        """What keys in a folder begin with, and the folder's digest."""
        walk = self._keys()[0].walk
        folders: list[bytes] = []  # from the nearest one at hand down: a path that somebody names may have 2,000
        while (known := self._folders.get((root_id, key))) is None and key:
            folders.append(key)
            key = key.rpartition(b"/")[0]
        prefix, digest = known or (b"", walk.origin(root_id))
        for folder in reversed(folders):
            own = walk.below(digest, folder.rpartition(b"/")[2])
            prefix += own[:FOLDER_BYTES]
            origin = self._grafts_of(root_id).get(prefix)
            digest = own if origin is None else walk.origin(origin)
            if len(self._folders) >= _FOLDERS_AT_HAND:
                self._folders.clear()
            self._folders[root_id, folder] = prefix, digest
        return prefix, digest

    def _grafts_of(self, root_id: int) -> dict[bytes, int]:
        """The roots one took in, which it did when it was made: so they are read once."""
        found = self._grafts.get(root_id)
        if found is None:
            rows = self._db.execute("SELECT folder, origin FROM graft WHERE root_id = ?", (root_id,))
            found = self._grafts[root_id] = {bytes(folder): origin for folder, origin in rows}
        return found

    def _keys(self) -> tuple[LocationKeys, Sealer]:
        with self._mutex:
            if self._held is None:
                (done,) = self._db.execute("SELECT done FROM sealed_locations").fetchone()
                if not done:
                    raise LedgerError("Sealing this home has not come to its end: `hashward locations seal` goes on.")
                keys = self._ask()
                if not is_under(self._db, keys):
                    raise LedgerError(OTHER_KEY)
                self._held = keys, Sealer(keys.public)
            return self._held

    @classmethod
    def under_way(cls, db: Database, keys: LocationKeys) -> Sealed:
        """For a home that is just being sealed."""
        made = cls(db, lambda: keys)
        made._held = keys, Sealer(keys.public)
        return made


def address(locations: Locations, root_id: int, key: bytes) -> Address:
    """Where a place is written."""
    return Address(root_id, locations.key(root_id, key), partial(locations.box, root_id, key))


def of(db: Database, keys: Keys | None) -> Locations:
    """How the places of a ledger are written; `keys` None: nobody here knows a broker."""
    if db.execute("SELECT 1 FROM sealed_locations").fetchone() is None:
        return Readable()
    return Sealed(db, keys or _no_broker)


def is_under(db: Database, keys: LocationKeys) -> bool:
    """Whether a sealed home, or one that is just being sealed, is so under these keys."""
    row = db.execute("SELECT public, key_id FROM sealed_locations").fetchone()
    return row is not None and tuple(row) == (keys.public, keys.walk.id())


def _no_broker() -> LocationKeys:
    raise UsageError("The locations of this home are sealed, and nobody is named who has their keys ([broker]).")


def boxes(db: Database, asset_id: int) -> list[bytes]:
    """What must be opened to tell where an asset is; nothing of that is read."""
    row = db.execute("SELECT root_id, box FROM asset WHERE id = ?", (asset_id,)).fetchone()
    if row is None or row[1] is None:
        return []
    return [bytes(row[1]), *_grafts(db, row[0]).values()]


def where(db: Database, asset_id: int, opened: Opened = MappingProxyType({})) -> bytes | None:
    """The path of an asset, or an upload's ref (empty: there is none), by what was in its boxes; None: nobody can tell.

    For the operator's own terminal and system.
    """
    row = db.execute(
        "SELECT a.root_id, r.path, a.key, a.box FROM asset a JOIN root r ON r.id = a.root_id WHERE a.id = ?",
        (asset_id,),
    ).fetchone()
    if row is None:
        return b""
    root_id, folder, key, box = row
    if box is not None:
        key = _unsealed(opened, bytes(box), _grafts(db, root_id))
    if key is None or not folder:
        return b"" if key is not None and key.startswith(NAMELESS) else key
    return bytes(folder).rstrip(b"/") + b"/" + bytes(key)


def _unsealed(opened: Opened, box: bytes, grafts: Mapping[int, bytes]) -> bytes | None:
    """A key below its root, by way of the roots that root took in."""
    inside = _inside(opened, box)
    for _ in grafts:
        if inside is None or inside.origin not in grafts:
            break
        way = _inside(opened, grafts[inside.origin])
        inside = None if way is None else Inside(way.origin, way.key + b"/" + inside.key)
    return None if inside is None else inside.key


def _inside(opened: Opened, box: bytes) -> Inside | None:
    said = opened.get(box)
    return None if said is None else read(said)


def _grafts(db: Database, root_id: int) -> dict[int, bytes]:
    return dict(db.execute("SELECT origin, box FROM graft WHERE root_id = ?", (root_id,)).fetchall())


def _way(parent: Root, child: Root) -> bytes:
    return child.path[len(parent.path.rstrip(b"/")) + 1 :]

"""Roots, walks and uploads: what walks and the `root` commands ask of the ledger.

One public method, one transaction; only the end of a walk takes several, and may be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from hashsets.sqlite import Database
from scanner.errors import NoSuchRoot, RootOverlap
from scanner.ledger import assets, locations, outbox
from scanner.ledger.assets import Asset, Root
from scanner.ledger.locations import Locations, Opened
from scanner.ledger.outbox import Occasion
from scanner.opening import RootIdentity
from scanner.types import Reason

# A walk that finds more than this share of a root's assets absent has more likely lost a mount than met a clean-up.
SUSPECT_LOSS = 0.2
_CHUNK = 500  # assets a transaction, some 10 ms, so that uploads need not wait


@dataclass(frozen=True, slots=True)
class Absent:
    """An asset a completed walk did not find. `missing` says whether an earlier walk missed it already."""

    id: int
    content_seq: int | None
    missing: bool


@dataclass(frozen=True, slots=True)
class Concluded:
    """What a completed walk led to. Where `suspect` gives a reason, nothing was concluded.

    `moved` are the ids of assets that lie elsewhere now: there under their old id, in place of that the walk met.
    """

    suspect: str | None
    missing: int
    moved: tuple[int, ...]


class Places:
    """The places part of the ledger."""

    def __init__(self, db: Database, locations: Locations) -> None:
        self._db = db
        self.locations = locations

    # -- roots -------------------------------------------------------------------------------------------------------

    def roots(self) -> list[Root]:
        """All roots, by name."""
        return assets.roots(self._db)

    def root(self, name: str) -> Root:
        """The root of that name. Raises NoSuchRoot."""
        return assets.root(self._db, name)

    def root_holding(self, path: bytes) -> Root | None:
        """The root that is `path` or lies above it."""
        for root in self.roots():
            if path == root.path or path.startswith(root.path.rstrip(b"/") + b"/"):
                return root
        return None

    def add_root(self, path: bytes, name: str | None = None, *, may_adopt: bool = False) -> Root:
        """Add a root. One that would lie above others takes in their assets with `may_adopt`, else RootOverlap."""
        with self._db.write():
            if self.root_holding(path) is not None:
                raise RootOverlap("This folder is a root, or lies inside one: `hashward root list` shows them.")
            inner = [r for r in self.roots() if r.path.startswith(path.rstrip(b"/") + b"/")]
            if inner and not may_adopt:
                raise RootOverlap("This folder holds a root: remove that one first, or scan this folder to take it in.")
            root = assets.add_root(self._db, name or self._free_name(), path)
            for child in inner:
                assets.adopt(self._db, root, child, self.locations.adopt(root, child))
            return root

    def _free_name(self) -> str:
        taken = {root.name for root in self.roots()}
        return next(name for number in range(1, len(taken) + 2) if (name := f"root-{number}") not in taken)

    def accept_root(self, name: str) -> None:
        """Take a suspect root as it now is. Raises NoSuchRoot."""
        with self._db.write():
            assets.accept(self._db, self.root(name).id)

    def move_root(self, name: str, path: bytes) -> None:
        """The root lies elsewhere now; its assets are unchanged. Raises NoSuchRoot, RootOverlap."""
        with self._db.write():
            root = self.root(name)
            other = self.root_holding(path)
            if other is not None and other.id != root.id:
                raise RootOverlap("This folder is a root, or lies inside one: `hashward root list` shows them.")
            assets.move_root(self._db, root.id, path)

    def remove_root(self, name: str) -> None:
        """Forget a root: its assets are gone, their matches close, nothing is sent. Raises NoSuchRoot."""
        with self._db.write():
            assets.remove_root(self._db, self.root(name).id)

    # -- walks -------------------------------------------------------------------------------------------------------

    def begin_walk(self, root: Root) -> int:
        """Start a walk and return its number."""
        with self._db.write(durable=False):
            return assets.begin_walk(self._db, root.id)

    def suspect(self, root: Root, why: str) -> None:
        """Hold a root as suspect."""
        with self._db.write():
            assets.suspect(self._db, root.id, why)

    def find(self, root_id: int, key: bytes) -> Asset | None:
        """The asset at a key, gone ones too."""
        return assets.find(self._db, root_id, self.locations.key(root_id, key))

    def back(self, ids: Sequence[int]) -> None:
        """Assets that were missing are there again."""
        with self._db.write(durable=False):
            assets.back(self._db, ids)

    def unreadable(self, places: Iterable[tuple[int, bytes, int, Reason]]) -> list[int]:
        """Record (root, key, walk) that could not be read and why: owed, and what they held stays on record."""
        with self._db.write(durable=False):
            return [self._unreadable(*place) for place in places]

    def _unreadable(self, root_id: int, key: bytes, walk: int, reason: Reason) -> int:
        at = locations.address(self.locations, root_id, key)
        return assets.put(self._db, at, walk=walk, reason=reason)[0]

    def conclude_walk(
        self,
        root: Root,
        walk: int,
        identity: RootIdentity,
        is_absent: Callable[[int, bytes, int | None], bool],
        occasion: Occasion,
        now_ns: int,
    ) -> Concluded:
        """Draw the conclusions of a completed walk: moved, missing, gone, or a suspect root that closes nothing.

        `is_absent` judges an asset by its id, key as written (`Locations`) and the device it was last seen on. Safe to
        repeat after a kill.
        """
        root = self.root(root.name)
        present, absent = 0, []
        with self._db.read():
            for asset_id, key, dev, seq, missing in assets.present(self._db, root.id):
                present += not missing
                if is_absent(asset_id, key, dev):
                    absent.append(Absent(asset_id, seq, missing))
            why = None if root.accept_loss else self._doubt(root, identity, present, absent)
        if why is not None:
            self.suspect(root, why)
            return Concluded(why, 0, ())
        moved: list[int] = []
        lost = {item.id for item in absent if not item.missing}
        for start in range(0, len(absent), _CHUNK):
            with self._db.write():
                moved += self._settle(root, absent[start : start + _CHUNK], lost, occasion, now_ns)
        with self._db.write():
            assets.complete_walk(self._db, root.id, walk, identity, now_ns)
        return Concluded(None, len(absent) - len(moved), tuple(moved))

    def _doubt(self, root: Root, identity: RootIdentity, present: int, absent: Sequence[Absent]) -> str | None:
        """Why a walk's losses are not believed."""
        if root.identity is not None and root.identity != identity:
            return "remounted"
        lost = [item for item in absent if not item.missing]
        if not lost:
            return None
        if len(lost) == present:
            return "empty"
        vanished = len(lost) - self._found_elsewhere(root, lost)
        return "lost_many" if vanished > SUSPECT_LOSS * present else None

    def _found_elsewhere(self, root: Root, lost: Sequence[Absent]) -> int:
        """How many of the lost can have moved, each to a place of its own."""
        by_content = Counter(item.content_seq for item in lost if item.content_seq is not None)
        ids = {item.id for item in lost}
        return sum(
            min(count, sum(1 for _ in assets.appeared(self._db, root, seq, ids))) for seq, count in by_content.items()
        )

    def _settle(
        self, root: Root, absent: Sequence[Absent], lost: set[int], occasion: Occasion, now_ns: int
    ) -> list[int]:
        moved = [item.id for item in absent if item.id in lost and assets.move(self._db, root, item.id, lost)]
        for asset_id in moved:
            seq = assets.content_of(self._db, asset_id)
            if seq is not None:
                outbox.reconcile_content(self._db, seq, occasion)
        gone_along = set(moved)
        assets.miss(self._db, [item.id for item in absent if item.id not in gone_along], now_ns)
        return moved

    def where(self, asset_id: int, opened: Opened = MappingProxyType({})) -> bytes | None:
        """The path or ref of an asset, for the operator's own terminal; None where it is sealed and not `opened`."""
        return locations.where(self._db, asset_id, opened)

    # -- uploads -----------------------------------------------------------------------------------------------------

    def forget_upload(self, ref: bytes) -> bool:
        """The platform no longer holds an upload: its matches close, nothing is sent. False when there is none."""
        with self._db.write():
            return self._let_go(ref)

    def forget_uploads(self, refs: Sequence[bytes]) -> int:
        """The same of some uploads, together; how many were known."""
        with self._db.write():
            return sum(self._let_go(ref) for ref in refs)

    def _let_go(self, ref: bytes) -> bool:
        if ref.startswith(assets.NAMELESS):
            return False
        return assets.let_go(self._db, assets.UPLOADS, self.locations.key(assets.UPLOADS, ref))


__all__ = ["Concluded", "NoSuchRoot", "Places", "RootOverlap"]

"""The batch door: walk a root, put every file through the pipeline, then say what is missing, moved or suspect.

Rules
- One thread walks, compares and records; lanes (threads) read, digest and fingerprint. Work in hand is bounded.
- An unchanged file is not opened. Every name has one outcome. A walk that was cut short calls nothing missing.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

from scanner.clock import Clock, utc_day
from scanner.ledger.assets import Root
from scanner.ledger.contents import MAX_LOOKS
from scanner.ledger.ledger import Ledger, Place, Recorded
from scanner.ledger.locations import Locations
from scanner.ledger.outbox import Occasion
from scanner.opening import (
    FileOpener,
    RootIdentity,
    RootUnavailable,
    Unopenable,
    is_settled,
    open_root,
    same_file,
)
from scanner.pipeline import Look, Pipeline
from scanner.types import Reason, Trigger
from scanner.walking import (
    FolderListed,
    FolderUnlisted,
    Found,
    FoundFile,
    Ignored,
    NotLooked,
    UnlistedFolders,
    Unreadable,
    WalkRules,
    walk,
)

BATCH = (
    64  # recordings a transaction: amortises the commit (isolation sheet, section 7: 50-200), short enough to wait for
)
RECORD_EVERY_S = 2.0  # or sooner than a batch is full, where files are slow
IN_HAND_PER_LANE = 16  # so that lanes never wait for the recorder, nor a slow video for the rest


class IdSet:
    """A set of asset ids at one bit each: a walk of ten million files remembers them in 1.25 MB."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, asset_id: int) -> None:
        """Put one in."""
        byte, bit = divmod(asset_id, 8)
        if byte >= len(self._bits):
            self._bits.extend(bytes(max(byte + 1, len(self._bits) * 5 // 4) - len(self._bits)))
        self._bits[byte] |= 1 << bit

    def __contains__(self, asset_id: int) -> bool:
        byte, bit = divmod(asset_id, 8)
        return byte < len(self._bits) and bool(self._bits[byte] >> bit & 1)

    def __iter__(self) -> Iterator[int]:
        """Ascending."""
        for match in re.finditer(rb"[^\0]+", self._bits):
            for byte in range(match.start(), match.end()):
                yield from (8 * byte + bit for bit in range(8) if self._bits[byte] >> bit & 1)


_EVERYTHING = WalkRules()


@dataclass(slots=True)
class Walked:
    """What one walk met. `seen` holds the ids of the assets it found; `ignored` and `unlisted` count by reason."""

    scanned: int = 0
    skipped: int = 0
    opened_files: int = 0
    new_contents: int = 0
    matches_added: int = 0
    matches_withdrawn: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    unlisted: Counter[str] = field(default_factory=Counter)
    seen: IdSet = field(default_factory=lambda: IdSet())
    suspect: str | None = None
    missing: int = 0
    moved: int = 0


@dataclass(frozen=True, slots=True)
class _Examined:
    """A file that was read, or the reason why it could not be."""

    place: Place
    look: Look | Reason
    opened: bool


class _Devices:
    """On which device each folder lies, remembering only those that differ from the root's.

    An asset last seen on another device than its folder now lies on was below a mount that is gone: it is not missing.
    """

    def __init__(self, locations: Locations) -> None:
        self._root: int | None = None
        self._others: dict[bytes, int] = {}
        self._locations = locations

    def add(self, root: Root, listed: FolderListed) -> None:
        """Note one."""
        if listed.key == b"":
            self._root = listed.dev
        elif listed.dev != self._root:
            self._others[self._locations.folder(root.id, listed.key)] = listed.dev

    def of(self, written: bytes) -> int | None:
        """The device of the folder of a key as written, or of the nearest one above it that was listed."""
        if self._others:
            for folder in self._locations.above(written):
                if folder in self._others:
                    return self._others[folder]
        return self._root


class _Lane(threading.local):
    """A lane's own opener, which keeps the last folder open."""

    opener: FileOpener | None = None


class RootWalk:
    """One walk over one root."""

    def __init__(
        self,
        ledger: Ledger,
        pipeline: Pipeline,
        clock: Clock,
        *,
        lanes: int,
        rules: WalkRules = _EVERYTHING,
        look_at_owed: bool = False,
        progress: Callable[[int], None] = lambda files: None,
    ) -> None:
        self._ledger = ledger
        self._locations = ledger.locations
        self._pipeline = pipeline
        self._clock = clock
        self._lanes = lanes
        self._rules = rules
        self._look_at_owed = look_at_owed
        self._progress = progress
        self._walked = Walked()
        self._openers: list[FileOpener] = []
        self._lane = _Lane()
        self._recorded_s = time.monotonic()
        self._stopping = threading.Event()

    def run(self, root: Root) -> Walked:
        """Walk the whole root and draw the conclusions of a completed walk."""
        opened = open_root(root.path)
        if isinstance(opened, RootUnavailable):
            return self._unavailable(root, opened)
        with opened:
            number = self._ledger.places.begin_walk(root)
            unlisted, devices = self._folders()
            self._examine(root, number, opened.fd, self._watch(root, walk(opened.fd, self._rules), unlisted, devices))
            self._conclude(root, number, opened.identity, unlisted, devices)
        return self._walked

    def run_below(self, root: Root, key: bytes) -> Walked:
        """Look at one file or folder of a root only; nothing is concluded from what is absent."""
        opened = open_root(root.path)
        if isinstance(opened, RootUnavailable):
            return self._unavailable(root, opened)
        with opened:
            number = self._ledger.places.begin_walk(root)
            found = walk(opened.fd, self._rules, below=key)
            self._examine(root, number, opened.fd, self._watch(root, found, *self._folders()))
        return self._walked

    def _folders(self) -> tuple[UnlistedFolders, _Devices]:
        return UnlistedFolders(self._locations.above), _Devices(self._locations)

    def _unavailable(self, root: Root, opened: RootUnavailable) -> Walked:
        self._walked.suspect = opened.trouble.value
        self._ledger.places.suspect(root, opened.trouble.value)
        return self._walked

    def _watch(
        self, root: Root, items: Iterator[Found], unlisted: UnlistedFolders, devices: _Devices
    ) -> Iterator[Found]:
        """Count what is no file, remember what hides absence, and pass everything on."""
        for item in items:
            if isinstance(item, FolderUnlisted):
                unlisted.add(self._locations.folder(root.id, item.key))
                self._walked.unlisted[item.reason.value] += 1
            elif isinstance(item, FolderListed):
                devices.add(root, item)
            elif isinstance(item, Ignored):
                self._walked.ignored[item.reason.value] += 1
                if item.reason is NotLooked.EXCLUDED:
                    self._still_there(root, item.key)
            yield item

    def _still_there(self, root: Root, key: bytes) -> None:
        """An excluded file may be an asset from before it was excluded: it is not looked at, and not missing."""
        asset = self._ledger.places.find(root.id, key)
        if asset is not None:
            self._walked.seen.add(asset.id)

    # -- looking -----------------------------------------------------------------------------------------------------

    def _examine(self, root: Root, number: int, root_fd: int, items: Iterator[Found]) -> None:
        in_hand: set[Future[_Examined]] = set()
        done: list[_Examined] = []
        back: list[int] = []
        with ThreadPoolExecutor(self._lanes, thread_name_prefix="lane") as lanes:
            try:
                for item in items:
                    place = Place(root.id, getattr(item, "key", b""), number)
                    if isinstance(item, Unreadable):
                        self._progress(1)
                        done.append(_Examined(place, item.trouble.reason, opened=False))
                    elif isinstance(item, FoundFile) and not self._skips(root, item, back):
                        in_hand.add(lanes.submit(self._look, root_fd, place))
                    in_hand = self._collect(in_hand, done, self._lanes * IN_HAND_PER_LANE)
                    self._flush(done, back, BATCH)
                while in_hand:
                    in_hand = self._collect(in_hand, done, len(in_hand) - 1)
                    self._flush(done, back, BATCH)
                self._flush(done, back, 0)
            except BaseException:
                self._stopping.set()  # what is in hand is not waited for, however large
                raise
            finally:
                lanes.shutdown(cancel_futures=True)
                for opener in self._openers:
                    opener.close()

    def _skips(self, root: Root, item: FoundFile, back: list[int]) -> bool:
        """Whether the file stands as it was last read, so that it need not be opened."""
        asset = self._ledger.places.find(root.id, item.key)
        if asset is None or asset.gone or asset.stat is None or asset.reason is not None:
            return False
        if not same_file(asset.stat, item.stat):
            return False
        if asset.looks and (self._look_at_owed or asset.looks < MAX_LOOKS):
            return False
        if self._look_at_owed and asset.content_seq is not None and self._pipeline.owes_recipes(asset.content_seq):
            return False
        self._walked.skipped += 1
        self._walked.seen.add(asset.id)
        self._progress(1)
        if asset.missing:
            back.append(asset.id)
        return True

    def _look(self, root_fd: int, place: Place) -> _Examined:
        """Read one file, in a lane."""
        if self._lane.opener is None:
            self._lane.opener = FileOpener(root_fd)
            self._openers.append(self._lane.opener)
        opener = self._lane.opener
        looked_ns = self._clock.now_ns()
        opened = opener.open(place.key)
        if isinstance(opened, Unopenable):
            return _Examined(place, opened.trouble.reason, opened=False)
        with opened:
            unchanged = partial(opener.unchanged, place.key, opened.fd, opened.stat)
            try:
                look = self._pipeline.look(
                    opened.fd,
                    opened.stat.size_bytes,
                    again=self._look_at_owed,
                    unchanged=unchanged,
                    stop=self._stopping.is_set,
                )
            except OSError:
                return _Examined(place, Reason.IO if unchanged() else Reason.CHANGED, opened=True)
            if not unchanged():
                return _Examined(place, Reason.CHANGED, opened=True)
            settled = is_settled(opened.stat, looked_ns)
            return _Examined(Place(place.root_id, place.key, place.walk, opened.stat, settled), look, opened=True)

    def _collect(self, in_hand: set[Future[_Examined]], done: list[_Examined], allowed: int) -> set[Future[_Examined]]:
        """Take finished looks, waiting while more than `allowed` are in hand."""
        while len(in_hand) > allowed:
            finished, in_hand = wait(in_hand, return_when=FIRST_COMPLETED)
            self._progress(len(finished))
            done.extend(future.result() for future in finished)
        return in_hand

    def _flush(self, done: list[_Examined], back: list[int], keep: int) -> None:
        """Record what is done once it is more than `keep`, or has waited: slow files must not be lost to a kill."""
        overdue = time.monotonic() - self._recorded_s > RECORD_EVERY_S
        if len(done) > keep or (done and (overdue or not keep)):
            self._record(done)
            self._recorded_s = time.monotonic()
            done.clear()
        if len(back) > keep or (back and not keep):
            self._ledger.places.back(back)
            back.clear()

    def _record(self, done: list[_Examined]) -> None:
        self._walked.scanned += len(done)
        self._walked.opened_files += sum(item.opened for item in done)
        unread = [
            (item.place.root_id, item.place.key, item.place.walk, item.look)
            for item in done
            if isinstance(item.look, Reason)
        ]
        for asset_id in self._ledger.places.unreadable(unread) if unread else ():
            self._walked.seen.add(asset_id)
        read = [(item.place, item.look) for item in done if isinstance(item.look, Look)]
        for recorded in self._pipeline.settle(read, Trigger.SCAN) if read else ():
            self._count(recorded)

    def _count(self, recorded: Recorded) -> None:
        assert recorded.asset_id is not None
        self._walked.seen.add(recorded.asset_id)
        self._walked.new_contents += recorded.new
        self._walked.matches_added += recorded.change.added
        self._walked.matches_withdrawn += recorded.change.withdrawn

    # -- concluding --------------------------------------------------------------------------------------------------

    def _conclude(
        self, root: Root, number: int, identity: RootIdentity, unlisted: UnlistedFolders, devices: _Devices
    ) -> None:
        def is_absent(asset_id: int, key: bytes, dev: int | None) -> bool:
            if asset_id in self._walked.seen or unlisted.hide(key):
                return False
            return root.identity is None or dev is None or dev == devices.of(key)

        concluded = self._ledger.places.conclude_walk(
            root,
            number,
            identity,
            is_absent,
            Occasion(Trigger.SCAN, utc_day(self._clock)),
            self._clock.now_ns(),
        )
        self._walked.suspect = concluded.suspect
        self._walked.missing, self._walked.moved = concluded.missing, len(concluded.moved)
        for asset_id in concluded.moved:
            self._walked.seen.add(asset_id)

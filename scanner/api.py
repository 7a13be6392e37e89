"""`from scanner import Scanner`: one home, opened, with everything that is done in it.

The composition root: opens the databases, starts the worker processes when the first file needs them, and hands both to
the pipeline and the batch door. The command line is a thin layer over this.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from hashsets.ciphers import Key
from hashsets.errors import DriverRefused, StoreError
from hashsets.store import Store
from scanner import actions, delivery
from scanner.accountability import changes
from scanner.accountability.audit import AuditLog, Event, software
from scanner.accountability.broker import BrokerLog
from scanner.accountability.keeping import Keeper
from scanner.accountability.log_file import LogFile
from scanner.actions import Told
from scanner.checking import Checkable, readable
from scanner.clock import Clock, SystemClock
from scanner.config import Config, Home, key_of, load
from scanner.delivery import Delivered
from scanner.errors import RootOverlap, UsageError
from scanner.ledger import Ledger, Place, coverage, tallies
from scanner.ledger.assets import NAMELESS, UPLOADS, Root, upload_key
from scanner.ledger.contents import top_seq
from scanner.ledger.coverage import Met
from scanner.looking import limits_of, options_of
from scanner.patterns import literal
from scanner.pipeline import Pipeline, SetsInForce
from scanner.reports import RandomSource, system_random
from scanner.rescan import Rescan, RescanSummary
from scanner.summaries import ScanSummary
from scanner.types import Outcome, Stop, Trigger, never
from scanner.walking import WalkRules
from scanner.worker import RootWalk, Walked

# The decoders come with these: loaded when the first file needs them, so that most commands never load them.
if TYPE_CHECKING:
    from scanner.fingerprint import Options
    from scanner.isolation.pool import WorkerPool

__all__ = ["ScanSummary", "Scanner"]

MAX_REF_BYTES = 512
Progress = Callable[[int], None]


def _nothing(_done: int) -> None:
    """Report no progress."""


class Scanner:
    """One home. A context manager; safe to use from one thread (uploads: from several, see `scan_upload`)."""

    def __init__(
        self,
        home: Home | str | os.PathLike[str] | None = None,
        config: Config | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.home = home if isinstance(home, Home) else Home.locate(None if home is None else os.fspath(home))
        self.config = load(self.home) if config is None else config
        self.clock = clock or SystemClock()
        self.allow_unsandboxed = False  # set before the first file: decode where the kernel cannot confine decoders
        self.opened_files = 0
        self._began_noted = False

    def __enter__(self) -> Scanner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes and close the databases."""
        for name in ("pool", "ledger", "store"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()
        self.__dict__.pop("audit", None)

    # -- parts, opened when first needed -----------------------------------------------------------------------------

    @cached_property
    def key(self) -> Key | None:
        """What both databases are encrypted under; None: nothing. Raises ConfigError."""
        return key_of(self.config.storage, self.home)

    @cached_property
    def store(self) -> Store:
        """hashsets.db."""
        self.home.create()
        with _named("hashsets.db"):
            return Store.open(self.home.folder, key=self.key)

    @cached_property
    def ledger(self) -> Ledger:
        """ledger.db."""
        self.home.create()
        with _named("ledger.db"):
            ledger = Ledger.open(self.home.folder, self.key, lambda: self.keeper.location_keys())
        with contextlib.suppress(StoreError):  # it stays to be noted by whoever can write
            changes.note(ledger.db, self.clock, self.config, None, software())
            self._began_noted = True
        return ledger

    @property
    def is_open(self) -> bool:
        """Whether a database of the home has been opened."""
        return "ledger" in self.__dict__ or "store" in self.__dict__

    def account(self) -> None:
        """Put on record what has changed since the audit log was last told, and write what it is owed."""
        db = self.ledger.db  # opening it may note with what we began
        changes.note(db, self.clock, None if self._began_noted else self.config, self.store, software())
        self._began_noted = True
        self.audit.drain()

    @cached_property
    def audit(self) -> AuditLog:
        """The audit log, and what is owed to it."""
        return AuditLog(self.ledger.db, self.keeper, self.clock)

    @property
    def keeper(self) -> Keeper:
        """Who keeps the audit log."""
        socket = self.config.broker.socket
        return LogFile(self.home.folder) if socket is None else BrokerLog(socket)

    @cached_property
    def pool(self) -> WorkerPool:
        """The worker processes."""
        from scanner.isolation.pool import WorkerPool

        return WorkerPool(
            self.config.scan.worker_count(),
            limits_of(self.config.limits),
            self.options(),
            allow_unsandboxed=self.allow_unsandboxed,
        )

    @cached_property
    def pipeline(self) -> Pipeline:
        """The one sequence every door calls."""
        # The pool first: its processes are exec'd before this one starts a thread.
        return Pipeline(self.sets, self.ledger, self.pool, self.clock)

    @cached_property
    def sets(self) -> SetsInForce:
        """The hash sets in force, with the matchers over them."""
        return SetsInForce(self.store)

    def options(self) -> Options:
        """What is computed of a content today: as configured, and whatever else the sets in force list."""
        snapshot = self.sets.pin()[1]
        return options_of(self.config.fingerprint, listed=snapshot.hash_types, edits=snapshot.edits)

    # -- work --------------------------------------------------------------------------------------------------------

    def scan(
        self,
        paths: Sequence[str | bytes | os.PathLike[str]] = (),
        *,
        owed: bool = False,
        progress: Progress = _nothing,
        rescanned: Progress = _nothing,
    ) -> ScanSummary:
        """Walk files, folders or roots (all roots without any), bring matches up to date, and say how they stand.

        Raises UsageError for a path that is not there. `owed` looks again at whatever is owed a look.
        """
        started = time.monotonic()
        places = self._places(paths)
        summary = ScanSummary()
        self._catch_up(summary, rescanned)
        for root, key in places:
            walker = RootWalk(
                self.ledger,
                self.pipeline,
                self.clock,
                lanes=self.config.scan.worker_count(),
                rules=self._rules(root),
                look_at_owed=owed,
                progress=progress,
            )
            walked = walker.run(root) if key is None else walker.run_below(root, key)
            summary.add(root, walked)
            self.opened_files += walked.opened_files
            self._catch_up(summary, rescanned)
            self._tally(summary, walked)
        summary.seconds = time.monotonic() - started
        return summary

    def rescan(self, progress: Progress = _nothing) -> RescanSummary:
        """Bring every content up to every set's version and rule. Opens no file."""
        return Rescan(self.store, self.ledger, self.clock, progress).run()

    def behind(self) -> int:
        """How many contents a re-scan has still to compare, once for each hash set they are behind."""
        db = self.ledger.db
        with db.read():
            top = top_seq(db)
            return sum(
                coverage.count_behind(db, each.uid, Met(each.rule_revision, each.version), top)
                for each in self.store.hash_sets()
                if each.in_force
            )

    def scan_upload(self, fd: int, ref: bytes | None = None, within_s: float | None = None) -> Outcome:
        """Scan an upload open on `fd`; found again by the platform's own `ref` (<= 512 bytes), else by digest.

        `within_s` bounds how long digests and look may take on the clock; what is not seen by then is owed.
        """
        if ref is not None and (not 0 < len(ref) <= MAX_REF_BYTES or ref.startswith(NAMELESS)):
            raise UsageError(f"A ref has 1 to {MAX_REF_BYTES} bytes, the first of which is not NUL.")
        look = self.pipeline.look(fd, within_s=within_s)
        place = Place(UPLOADS, upload_key(ref, look.digests.sha256))
        return self.pipeline.settle([(place, look)], Trigger.UPLOAD)[0].outcome

    def check(self, content: Checkable, ref: bytes | None = None, within_s: float | None = None) -> Outcome:
        """Scan bytes, an open binary file (whole) or the file at a path, as an upload (`scan_upload`)."""
        with readable(content) as fd:
            return self.scan_upload(fd, ref, within_s)

    async def check_async(self, content: Checkable, ref: bytes | None = None, within_s: float | None = None) -> Outcome:
        """`check`, for asyncio: the loop goes on meanwhile."""
        self.pipeline  # noqa: B018 - opened in this thread: worker processes are exec'd
        return await asyncio.to_thread(self.check, content, ref, within_s)

    def settle_uploads(self, stop: Stop = never) -> int:
        """Go on with what `serve` left: compare what it accepted, look at films in the spool; how many were settled."""
        from scanner.doors.catching_up import compare_accepted
        from scanner.doors.spooling import Spool

        self.home.create()
        spool = Spool(self.home.spool, self.ledger)
        spool.sweep()
        return compare_accepted(self.pipeline, self.ledger, self.clock) + spool.look(self.pipeline, stop)

    def forget_upload(self, ref: bytes) -> bool:
        """The platform no longer holds an upload: its matches close, nothing is sent. False when it was not known."""
        return self.ledger.places.forget_upload(ref)

    def seal(self, rng: RandomSource | None = None, *, before: str | None = None) -> int:
        """Give every pending report its random id and owe it to the sinks that may hear it; how many.

        With `before`, a UTC day, only reports of earlier days.
        """
        return delivery.seal(self.ledger, self.config, self.clock, rng or system_random(), before)

    def deliver(self, *, even_if_waiting: bool = False) -> Delivered:
        """Hand owed batches to their sinks."""
        return delivery.deliver(self.ledger, self.config, self.clock, even_if_waiting=even_if_waiting)

    def act(self, *, even_if_waiting: bool = False, checkpoint: Callable[[], None] = lambda: None) -> Told:
        """Tell the operator's own system what is due. Raises UsageError where none is configured."""
        if not self.config.actions.configured:
            raise UsageError("No target is configured: set command, socket or url of [actions].")
        return actions.act(
            self.ledger,
            self.config.actions,
            self.clock,
            self._find,
            even_if_waiting=even_if_waiting,
            checkpoint=checkpoint,
        )

    def _find(self, ids: Sequence[int]) -> Sequence[bytes | None]:
        """Where assets are, for the operator's own system; of sealed locations it is on record first."""
        if not self.ledger.locations.sealed:
            return [self.ledger.places.where(asset_id) for asset_id in ids]
        return self.audit.tell(Event.PLACES_TOLD, {"how": "actions", "count": len(ids)}, ids)[1]

    # -- inside ------------------------------------------------------------------------------------------------------

    def _rules(self, root: Root) -> WalkRules:
        """How a root is walked. Our own home is left out: its databases change while they are read."""
        scan = self.config.scan
        home = os.path.realpath(os.fsencode(self.home.folder))
        own = () if not _lies_in(home, root.path) else (literal(b"/" + _key(home, root.path)),)
        return WalkRules(scan.include, scan.exclude + own, scan.one_file_system)

    def _catch_up(self, summary: ScanSummary, progress: Progress) -> None:
        change = self.rescan(progress).change
        summary.matches_added += change.added
        summary.matches_withdrawn += change.withdrawn

    def _tally(self, summary: ScanSummary, walked: Walked) -> None:
        outcomes = tallies.outcomes(self.ledger.db, walked.seen)
        summary.contents += outcomes.contents
        summary.outcomes.add(outcomes)
        summary.matched_assets += tallies.matched_assets(self.ledger.db, walked.seen)

    def _places(self, paths: Sequence[str | bytes | os.PathLike[str]]) -> list[tuple[Root, bytes | None]]:
        """What to walk, nothing of it twice."""
        if not paths:
            roots = self.ledger.places.roots()
            if not roots:
                raise UsageError("Nothing to scan: name a folder or file, or add a root (`hashward root add`).")
            return [(root, None) for root in roots]
        places: list[tuple[Root, bytes | None]] = []
        for path in paths:
            place = self._place(os.fsencode(path))
            # A folder above known roots takes them in: what was to be walked there is walked with it.
            known = {root.id for root in self.ledger.places.roots()}
            places = [each for each in places if each[0].id in known and not _covers(place, each)]
            if not any(_covers(each, place) for each in places):
                places.append(place)
        return places

    def _place(self, path: bytes) -> tuple[Root, bytes | None]:
        """The root and key of a path; a folder or file outside every root makes a root (of its folder)."""
        named = {os.fsencode(root.name): root for root in self.ledger.places.roots()}.get(path)
        if named is not None:
            return named, None
        if not path or b"\x00" in path:
            raise UsageError("One of the paths is empty or holds a NUL byte.")
        real = os.path.realpath(path)
        mode = _mode(real)
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UsageError("One of the paths is neither a regular file nor a folder.")
        home = os.path.realpath(os.fsencode(self.home.folder))
        if real == home or _lies_in(real, home):
            raise UsageError("One of the paths is hashward's own home: there is nothing to scan in it.")
        try:
            return self._root_of(real, stat.S_ISDIR(mode))
        except RootOverlap:  # another process has just added it
            return self._root_of(real, stat.S_ISDIR(mode))

    def _root_of(self, real: bytes, is_folder: bool) -> tuple[Root, bytes | None]:
        places = self.ledger.places
        holding = places.root_holding(real)
        if holding is None:
            holding = places.add_root(real if is_folder else os.path.dirname(real), may_adopt=True)
        return holding, None if holding.path == real else _key(real, holding.path)


def _covers(one: tuple[Root, bytes | None], other: tuple[Root, bytes | None]) -> bool:
    """Whether walking `one` meets all of `other`."""
    if one[0].id != other[0].id:
        return False
    return one[1] is None or (other[1] is not None and (other[1] + b"/").startswith(one[1] + b"/"))


def _lies_in(path: bytes, folder: bytes) -> bool:
    return path.startswith(folder.rstrip(b"/") + b"/")


def _key(path: bytes, root: bytes) -> bytes:
    return path[len(root.rstrip(b"/")) + 1 :]


@contextlib.contextmanager
def _named(database: str) -> Iterator[None]:
    """Say which of the two databases cannot be used; the advice differs."""
    try:
        yield
    except DriverRefused:
        raise
    except StoreError as error:
        raise StoreError(f"{database}: {error}") from error


def _mode(path: bytes) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_mode
    except OSError as exc:
        raise UsageError(f"One of the paths cannot be looked at ({os.strerror(exc.errno or 0)}).") from None

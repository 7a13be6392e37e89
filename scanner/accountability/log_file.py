"""The audit log as two files: `audit.log`, the lines, and `audit.key`, the key of the next one. Knows no database.

Rules
- A line is written once what was to be written is on disk and the key has moved on; what stands behind the place up to
  which the key has moved was never acknowledged. Whole lines of it with the right keys stay; the rest is cut off.
- The key lies in one of two slots, each in sectors of its own: the next is written to the other and synced before the
  one before is overwritten. So a kill leaves the one or the other, and no earlier key can be read back from the file.
- One process at a time: every use is under the lock of the log.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hashsets.errors import StoreError
from hashsets.locking import WriterLock, open_private
from scanner.accountability import chain
from scanner.accountability.chain import FIRST_PREV, Key, Standing
from scanner.accountability.keeping import DAMAGED, NO_BROKER, NOT_BEGUN, Entry
from scanner.errors import AuditError, UsageError
from scanner.location_keys import LocationKeys

LOG_NAME: Final = "audit.log"
KEY_NAME: Final = "audit.key"

_SLOT_BYTES: Final = 4096  # a sector or a page: one slot is never torn by a write to the other
_PIECE_BYTES: Final = 2**18
_MOST_LEFT_BYTES: Final = 2**23  # more than any one write leaves behind


@dataclass(frozen=True, slots=True)
class _State:
    """The key of the next line; where the log ends, where its last line starts, and the digest of that line."""

    key: Key
    end: int
    start: int
    head: str

    def slot(self) -> bytes:
        said = {
            "seq": self.key.seq,
            "key": self.key.secret.hex(),
            "end": self.end,
            "start": self.start,
            "head": self.head,
        }
        line = chain.canonical({**said, "check": chain.digest(chain.canonical(said))})
        return line.ljust(_SLOT_BYTES - 1) + b"\n"

    @classmethod
    def of_slot(cls, raw: bytes) -> _State | None:
        """The state in a slot; None where it is empty, torn or overwritten."""
        try:
            said = json.loads(raw)
            check = said.pop("check")
            if check != chain.digest(chain.canonical(said)):
                return None
            return cls(Key(said["seq"], bytes.fromhex(said["key"])), said["end"], said["start"], said["head"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


class LogFile:
    """The log in a folder. Nothing is opened between uses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def begun(self) -> bool:
        """Whether there is a log."""
        return (self._folder / KEY_NAME).exists()

    def begin(self, first: Entry, show: Callable[[str], None]) -> None:
        """Begin the log with a line; `show` is given the verification key, before anything counts. Raises UsageError.

        A kill before `show` is done leaves no log, so nobody has a log and not its key.
        """
        with self._locked(), _io():
            if self.begun or (self._folder / LOG_NAME).exists():
                raise UsageError("There is an audit log already: it goes on. To begin anew, move both its files away.")
            key = Key(1, secrets.token_bytes(32))
            show(key.text())
            made = self._folder / f"{KEY_NAME}.made"
            with _private(made) as descriptor:
                os.ftruncate(descriptor, 0)
                _write_at(descriptor, 0, _State(key, 0, 0, FIRST_PREV).slot() + bytes(_SLOT_BYTES))
                os.fsync(descriptor)
            made.rename(self._folder / KEY_NAME)
            with _private(self._folder / LOG_NAME):
                pass
            _sync_folder(self._folder)
            self._append([first], os.geteuid())
            give_to_owner(self._folder)

    def append(self, entries: Sequence[Entry], user: int | None = None) -> int:
        """Write entries as lines of a user (else of this process's own); see `keeping.Keeper`."""
        with self._locked(), _io():
            return self._append(entries, os.geteuid() if user is None else user)

    def _append(self, entries: Sequence[Entry], user: int) -> int:
        with self._key_file() as key_file, _private(self._folder / LOG_NAME) as log:
            keeper = _Keeper(log, key_file)
            keeper.settle()
            known = _uids(log, {entry.uid for entry in entries if entry.again})
            keeper.write([entry for entry in entries if entry.uid not in known], user)
            return keeper.state.key.seq - 1

    def standing(self) -> Standing | None:
        """How the log ends; None where its key is gone or damaged. Raises AuditError."""
        if not self.begun:
            return None
        with self._locked(), _io(), self._key_file() as key_file:
            found = _states(key_file)
        if found is None:
            return None
        state, _ = found
        return Standing(state.key.seq - 1, state.head, state.end, state.key.commitment())

    def pieces(self, end: int | None = None, start: int = 0) -> Iterator[bytes]:
        """The bytes of the log from `start` up to `end`. Raises AuditError."""
        if not (self._folder / LOG_NAME).exists():
            return
        with _io(), _private(self._folder / LOG_NAME) as log:
            at, end = start, os.fstat(log).st_size if end is None else end
            while at < end and (piece := os.pread(log, min(end - at, _PIECE_BYTES), at)):
                at += len(piece)
                yield piece

    def size(self) -> int:
        """How many bytes the log has; 0 where it is not there."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / LOG_NAME).stat().st_size
        return 0

    def location_keys(self) -> LocationKeys:
        """A broker has them. Raises UsageError."""
        raise UsageError(NO_BROKER)

    def open(self, _entry: Entry, _boxes: Sequence[bytes]) -> tuple[int, dict[bytes, bytes | None]]:
        """A broker does. Raises UsageError."""
        raise UsageError(NO_BROKER)

    @contextlib.contextmanager
    def _key_file(self) -> Iterator[int]:
        if not self.begun:
            raise UsageError(NOT_BEGUN)
        with _private(self._folder / KEY_NAME) as descriptor:
            yield descriptor

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._folder.is_dir():
            raise UsageError(NOT_BEGUN)
        lock = WriterLock(self._folder / LOG_NAME)
        try:
            with lock.held():
                yield
        finally:
            lock.close()


def give_to_owner(folder: Path) -> None:
    """What root has made in another user's home becomes that user's, who could not go on else."""
    if os.geteuid() != 0:
        return
    owner = folder.stat()
    for path in folder.glob("audit.*"):
        with contextlib.suppress(OSError):  # a link
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                found = os.fstat(descriptor)
                # Of one name only: another could be that of a file which is none of this home's.
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == 0:
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
            finally:
                os.close(descriptor)


class _Keeper:
    """An open log and key: settles what a kill has left, then writes."""

    def __init__(self, log: int, key_file: int) -> None:
        self._log, self._key_file = log, key_file
        found = _states(key_file)
        if found is None:
            raise AuditError(DAMAGED)
        self.state, self._slot = found

    def settle(self) -> None:
        """Check the last line, take in whole lines that were not acknowledged, and cut off what is none."""
        state = self.state
        size = os.fstat(self._log).st_size
        last = os.pread(self._log, state.end - state.start, state.start)
        if size < state.end or (state.end and chain.digest(last) != state.head):
            raise AuditError(DAMAGED)
        if size == state.end:
            return
        for raw in chain.split([os.pread(self._log, min(size - state.end, _MOST_LEFT_BYTES), state.end)]):
            line = chain.read(raw)
            if line is None or line.prev != state.head or not chain.is_keyed(line, state.key):
                break
            state = _after(state, raw)
        os.ftruncate(self._log, state.end)
        os.fsync(self._log)
        self._move_on(state)

    def write(self, entries: Sequence[Entry], user: int) -> None:
        """Write lines: on disk, then the key moves on."""
        state, written = self.state, b""
        for entry in entries:
            said = {"at": entry.at, "event": entry.event, "uid": entry.uid, "user": user}
            raw = chain.write(state.key, state.head, {**said, "particulars": dict(entry.particulars)})
            if chain.read(raw) is None:
                raise AuditError("What was to be recorded cannot be: it is too long for a line of the audit log.")
            written += raw
            state = _after(state, raw)
        if written:
            _write_at(self._log, self.state.end, written)
            os.fsync(self._log)
            self._move_on(state)

    def _move_on(self, state: _State) -> None:
        if state == self.state:
            return
        other = 1 - self._slot
        _write_at(self._key_file, other * _SLOT_BYTES, state.slot())
        os.fsync(self._key_file)
        _write_at(self._key_file, self._slot * _SLOT_BYTES, bytes(_SLOT_BYTES))
        os.fsync(self._key_file)
        self.state, self._slot = state, other


def _after(state: _State, raw: bytes) -> _State:
    return _State(state.key.next(), state.end + len(raw), state.end, chain.digest(raw))


def _states(key_file: int) -> tuple[_State, int] | None:
    """The state in force and its slot; of two that a kill has left, the later. None where there is none."""
    found = [(_State.of_slot(os.pread(key_file, _SLOT_BYTES, at * _SLOT_BYTES)), at) for at in (0, 1)]
    valid = [(state, at) for state, at in found if state is not None]
    return max(valid, key=lambda each: each[0].key.seq, default=None)


def _uids(log: int, wanted: set[str]) -> set[str]:
    """Those of these uids that some line has."""
    known: set[str] = set()
    if not wanted:
        return known
    at = 0

    def pieces() -> Iterator[bytes]:
        nonlocal at
        while piece := os.pread(log, _PIECE_BYTES, at):
            at += len(piece)
            yield piece

    for raw in chain.split(pieces()):
        if any(uid.encode() in raw for uid in wanted - known):
            line = chain.read(raw)
            known |= wanted & {line.uid if line is not None else ""}
    return known


@contextlib.contextmanager
def _private(path: Path) -> Iterator[int]:
    """A regular file of mode 0600, made where it is not there."""
    descriptor = open_private(path)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AuditError("The audit log or its key is no regular file.")
        yield descriptor
    finally:
        os.close(descriptor)


def _write_at(descriptor: int, at: int, content: bytes) -> None:
    while content:
        done = os.pwrite(descriptor, content, at)
        at, content = at + done, content[done:]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _io() -> Iterator[None]:
    """The border at which errors of the system become ours: what is owed to the log stays owed."""
    try:
        yield
    except BrokenPipeError:  # of whoever was shown the key
        raise
    except (OSError, StoreError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it cannot be opened"
        raise AuditError(f"The audit log cannot be used ({why}); what is owed to it stays owed.") from None

"""The signals of files, without any database: what `hashward hash` prints.

Folders are walked and files opened as a scan does it. Answers come in the order of the walk, several files in work at
once.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from scanner.errors import UsageError
from scanner.hashing.digests import digest_fd
from scanner.opening import Root, RootTrouble, RootUnavailable, Unopenable, check_unchanged, open_file, open_root
from scanner.types import Digests, Fingerprint, Fingerprinter, Reason, Stop
from scanner.walking import FolderTrouble, FolderUnlisted, FoundFile, Unreadable, WalkRules, walk

IN_HAND_PER_LANE = 8

# Folders that were meant not to be entered, and one that is no more: nothing there was left unlooked at.
_MEANT = {FolderTrouble.EXCLUDED, FolderTrouble.OTHER_DEVICE, FolderTrouble.LOOP, FolderTrouble.VANISHED}


@dataclass(frozen=True, slots=True)
class FileSignals:
    """One file's signals; `digests` and `fingerprint` are None and `trouble` says why where it could not be read."""

    path: bytes
    digests: Digests | None
    fingerprint: Fingerprint | None
    trouble: Reason | None


def signals_of(
    paths: Sequence[bytes], fingerprinter: Fingerprinter, *, lanes: int, rules: WalkRules
) -> Iterator[FileSignals]:
    """The signals of every file named or below a folder named, and a line for each folder that cannot be entered.

    Raises UsageError, before the first answer, for a path that is neither a file nor a folder.
    """
    named = [(path, _real(path)) for path in paths]
    in_hand: deque[Future[FileSignals]] = deque()
    stopping = threading.Event()
    with ThreadPoolExecutor(lanes, thread_name_prefix="lane") as executor:
        try:
            for folder, path, key in _files(named, rules):
                in_hand.append(executor.submit(_look, folder, path, key, fingerprinter, stopping.is_set))
                if len(in_hand) >= lanes * IN_HAND_PER_LANE:
                    yield in_hand.popleft().result()
            while in_hand:
                yield in_hand.popleft().result()
        except BaseException:
            stopping.set()  # what is in hand is not waited for, however large
            raise
        finally:
            executor.shutdown(cancel_futures=True)


def _real(path: bytes) -> bytes:
    """Where a path leads; links in it are followed, as they were named by whoever calls."""
    try:
        real = os.path.realpath(path)
        mode = os.stat(real, follow_symlinks=False).st_mode if path else 0
    except OSError as exc:
        raise UsageError(f"One of the paths cannot be looked at ({os.strerror(exc.errno or 0)}).") from None
    except ValueError:
        raise UsageError("One of the paths holds a NUL byte.") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UsageError("One of the paths is neither a regular file nor a folder.")
    return real


def _files(named: Sequence[tuple[bytes, bytes]], rules: WalkRules) -> Iterator[tuple[bytes, bytes, bytes | Reason]]:
    """(folder, path to print, key below the folder, or why it cannot be read) of every file."""
    for path, real in named:
        opened = open_root(real)
        if not isinstance(opened, RootUnavailable):
            with opened:
                yield from _below(opened, real, path, rules)
        elif os.path.isdir(real):
            yield real, path, Reason.PERMISSION if opened.trouble is RootTrouble.PERMISSION else Reason.IO
        else:
            folder, name = os.path.split(real)
            yield folder, path, name


def _below(opened: Root, real: bytes, path: bytes, rules: WalkRules) -> Iterator[tuple[bytes, bytes, bytes | Reason]]:
    for item in walk(opened.fd, rules):
        if isinstance(item, FoundFile):
            yield real, os.path.join(path, item.key), item.key
        elif isinstance(item, Unreadable):
            yield real, os.path.join(path, item.key), item.trouble.reason
        elif isinstance(item, FolderUnlisted) and item.reason not in _MEANT:
            why = Reason.PERMISSION if item.reason is FolderTrouble.PERMISSION else Reason.IO
            yield real, os.path.join(path, item.key), why


def _look(folder: bytes, path: bytes, key: bytes | Reason, fingerprinter: Fingerprinter, stop: Stop) -> FileSignals:
    if isinstance(key, Reason):
        return FileSignals(path, None, None, key)
    root = open_root(folder)
    if isinstance(root, RootUnavailable):
        return FileSignals(path, None, None, Reason.IO)
    with root:
        opened = open_file(root.fd, key)
        if isinstance(opened, Unopenable):
            return FileSignals(path, None, None, opened.trouble.reason)
        with opened:
            try:
                digests = digest_fd(opened.fd, opened.stat.size_bytes, stop=stop)
                fingerprint = fingerprinter.fingerprint(opened.fd, None, stop)
            except OSError:
                return FileSignals(path, None, None, Reason.IO)
            if not check_unchanged(root.fd, key, opened.fd, opened.stat):
                return FileSignals(path, None, None, Reason.CHANGED)
            return FileSignals(path, digests, fingerprint, None)

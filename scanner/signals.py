"""The signals of files, without any database: what `hashward hash` prints.

Folders are walked and files opened as a scan does it. Answers come in the order of the walk, several files in work at
once.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from scanner.errors import UsageError
from scanner.hashing.digests import digest_fd
from scanner.opening import Root, RootUnavailable, Unopenable, check_unchanged, open_file, open_root
from scanner.types import Digests, Fingerprint, Fingerprinter, Reason
from scanner.walking import FoundFile, Unreadable, WalkRules, walk

IN_HAND_PER_LANE = 8


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
    """The signals of every file named or below a folder named. Raises UsageError for a path that is not there."""
    for path in paths:
        if not os.path.lexists(path) or b"\x00" in path:
            raise UsageError("One of the paths is not there.")
    in_hand: deque[Future[FileSignals]] = deque()
    with ThreadPoolExecutor(lanes, thread_name_prefix="lane") as executor:
        for root, prefix, key in _files(paths, rules):
            in_hand.append(executor.submit(_look, root, prefix, key, fingerprinter))
            if len(in_hand) >= lanes * IN_HAND_PER_LANE:
                yield in_hand.popleft().result()
        while in_hand:
            yield in_hand.popleft().result()


def _files(paths: Sequence[bytes], rules: WalkRules) -> Iterator[tuple[bytes, bytes, bytes | Reason]]:
    """(folder, path to print, key below the folder, or why it cannot be read) of every file."""
    for path in paths:
        opened = open_root(path)
        if isinstance(opened, RootUnavailable):
            folder, name = os.path.split(path.rstrip(b"/"))
            yield folder or b".", path, name
            continue
        with opened:
            yield from _below(opened, path, rules)


def _below(opened: Root, path: bytes, rules: WalkRules) -> Iterator[tuple[bytes, bytes, bytes | Reason]]:
    for item in walk(opened.fd, rules):
        if isinstance(item, FoundFile):
            yield path, os.path.join(path, item.key), item.key
        elif isinstance(item, Unreadable):
            yield path, os.path.join(path, item.key), item.trouble.reason


def _look(folder: bytes, path: bytes, key: bytes | Reason, fingerprinter: Fingerprinter) -> FileSignals:
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
                digests = digest_fd(opened.fd, opened.stat.size_bytes)
                fingerprint = fingerprinter.fingerprint(opened.fd)
            except OSError:
                return FileSignals(path, None, None, Reason.IO)
            if not check_unchanged(root.fd, key, opened.fd, opened.stat):
                return FileSignals(path, None, None, Reason.CHANGED)
            return FileSignals(path, digests, fingerprint, None)

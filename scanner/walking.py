"""The walk: what lies below a root, as a stream, safe against links, FIFOs, loops, races and folders of any size.

Owns the order of nothing: what is yielded is determined by the tree, the order by the file system. Knows no ledger.

Rules
- Every name gives exactly one item: a file, or the reason why it is none, could not be looked at, or was not entered.
- No path string is ever built: names are opened and statted relative to their folder's descriptor, no link followed.
- No file is opened: one fstatat each; readers open them later through `scanner.opening`.
- Bounded: one descriptor per level while descending (two in a folder of over `PENDING_FOLDERS` folders), and never more
  than `PENDING_FOLDERS` names per level in memory, however many a folder holds.

What absence means: an asset that a completed walk did not yield is missing only if no `FolderUnlisted` was yielded for
its folder or any folder above (see `UnlistedFolders`), and its own key was not yielded as `Unreadable` or as `Ignored`
with `EXCLUDED`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from scanner.opening import (
    FileOpener,
    FileStat,
    Opened,
    Root,
    RootIdentity,
    RootTrouble,
    RootUnavailable,
    Trouble,
    Unopenable,
    check_unchanged,
    file_stat,
    is_key,
    is_settled,
    open_below,
    open_file,
    open_folder,
    open_root,
    same_file,
    trouble_of,
)
from scanner.patterns import Pattern, compile_patterns

# The one door of this room: what callers need of scanner.opening is here too.
__all__ = [
    "FileOpener",
    "FileStat",
    "FolderListed",
    "FolderTrouble",
    "FolderUnlisted",
    "Found",
    "FoundFile",
    "Ignored",
    "NotLooked",
    "Opened",
    "Root",
    "RootIdentity",
    "RootTrouble",
    "RootUnavailable",
    "Trouble",
    "UnlistedFolders",
    "Unopenable",
    "Unreadable",
    "WalkRules",
    "check_unchanged",
    "folders_above",
    "is_settled",
    "open_file",
    "open_root",
    "same_file",
    "walk",
]

MAX_DEPTH: Final = 256  # no descriptor shortage at the usual limit of 1,024, and no real tree is near it
PENDING_FOLDERS: Final = 1024  # 256 levels of so many names of 255 bytes: some 80 MB at the very worst


class NotLooked(StrEnum):
    """Why a name is not a file to look at."""

    LINK = "link"
    FIFO = "fifo"
    SOCKET = "socket"
    DEVICE = "device"
    EXCLUDED = "excluded"


class FolderTrouble(StrEnum):
    """Why a folder was not listed, or not to its end."""

    PERMISSION = "permission"
    IO = "io"
    VANISHED = "vanished"
    TOO_DEEP = "too_deep"
    LOOP = "loop"
    OTHER_DEVICE = "other_device"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file, as it was when its folder was listed."""

    key: bytes
    stat: FileStat


@dataclass(frozen=True, slots=True)
class Ignored:
    """A name that is no file to look at. `EXCLUDED` files are there all the same."""

    key: bytes
    reason: NotLooked


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A name whose kind could not be read."""

    key: bytes
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class FolderListed:
    """A folder listed to its end without error; its names have been yielded, or will be for folders in it.

    `dev` is the device it lies on: an asset last seen on another device lies under a mount that is gone.
    """

    key: bytes
    dev: int


@dataclass(frozen=True, slots=True)
class FolderUnlisted:
    """A folder that was not listed, or not to its end: nothing below it may be called missing."""

    key: bytes
    reason: FolderTrouble


Found = FoundFile | Ignored | Unreadable | FolderListed | FolderUnlisted


@dataclass(frozen=True, slots=True)
class WalkRules:
    """What of a tree is looked at. Patterns as in `scanner.patterns`; `exclude` beats `include`.

    With `include` patterns only files that one of them matches, or that lie below a folder one of them matches, are
    looked at; without, all. Excluded folders are not entered. `max_depth` counts folders below the root.
    """

    include: tuple[bytes, ...] = ()
    exclude: tuple[bytes, ...] = ()
    one_file_system: bool = False
    max_depth: int = MAX_DEPTH


def folders_above(key: bytes) -> Iterator[bytes]:
    """The folders above a key, the nearest first, the root's own (b"") last."""
    while key:
        key = key.rpartition(b"/")[0]
        yield key


class UnlistedFolders:
    """Remembers the folders a walk could not list, to tell what may be called missing.

    Keys may be written in another way, by whoever gives `above` of a key so written.
    """

    def __init__(self, above: Callable[[bytes], Iterable[bytes]] = folders_above) -> None:
        self._keys: set[bytes] = set()
        self._above = above

    def add(self, key: bytes) -> None:
        """Note one."""
        self._keys.add(key)

    def hide(self, key: bytes) -> bool:
        """Whether the folder of `key`, or one above it, was not listed."""
        return bool(self._keys) and any(folder in self._keys for folder in self._above(key))


def walk(root_fd: int, rules: WalkRules = WalkRules(), *, below: bytes = b"") -> Iterator[Found]:
    """Yield everything below the open root, the root's own folder (key b"") included.

    `below` is the key of one folder to walk instead, or of one name to look at, whatever the rules say of it; what is
    yielded keeps its key from the root. `root_fd` stays the caller's and may be closed once the walk has ended. Raises
    nothing for anything in the tree; ValueError at once for a pattern that cannot be read.
    """
    return _Walk(rules).run(root_fd, below)


@dataclass(slots=True)
class _Folder:
    """A folder being listed. `names` is None once listed to its end."""

    key: bytes
    fd: int
    identity: tuple[int, int]
    components: tuple[bytes, ...]
    included: bool
    names: Iterator[os.DirEntry[str]] | None = None
    pending: list[bytes] = field(default_factory=list)

    def key_of(self, name: bytes) -> bytes:
        return self.key + b"/" + name if self.key else name

    def stop_listing(self) -> None:
        if self.names is not None:
            self.names.close()  # type: ignore[attr-defined]  # a scandir iterator
            self.names = None

    def close(self) -> None:
        self.stop_listing()
        os.close(self.fd)


class _Walk:
    """One walk: a stack of open folders instead of recursion, so that depth costs no Python frames."""

    def __init__(self, rules: WalkRules) -> None:
        self._rules = rules
        self._include = compile_patterns(rules.include)
        self._exclude = compile_patterns(rules.exclude)
        self._stack: list[_Folder] = []

    def run(self, root_fd: int, below: bytes) -> Iterator[Found]:
        try:
            yield from self._start_below(root_fd, below) if below else self._enter(root_fd, b".", (), not self._include)
            while self._stack:
                folder = self._stack[-1]
                if folder.names is not None and len(folder.pending) < PENDING_FOLDERS:
                    yield from self._list(folder)
                elif folder.pending:
                    yield from self._enter_from(folder, folder.pending.pop())
                else:
                    self._stack.pop().close()
        finally:
            while self._stack:
                self._stack.pop().close()

    def _start_below(self, root_fd: int, key: bytes) -> Iterator[Found]:
        if not is_key(key):
            yield Unreadable(key, Trouble.NAME)
            return
        *above, name = components = tuple(key.split(b"/"))
        try:
            parent_fd = open_below(root_fd, above)
        except OSError as exc:
            yield Unreadable(key, trouble_of(exc))
            return
        try:
            found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                included = not self._include or any(
                    _any(self._include, components[:length], is_folder=True) for length in range(1, len(components) + 1)
                )
                yield from self._enter(parent_fd, name, components, included)
            elif stat.S_ISREG(found.st_mode):
                yield FoundFile(key, file_stat(found))
            else:
                yield Ignored(key, _not_looked(found.st_mode))
        except OSError as exc:
            yield Unreadable(key, trouble_of(exc))
        finally:
            os.close(parent_fd)

    def _list(self, folder: _Folder) -> Iterator[Found]:
        """Yield names until the folder ends or enough folders wait in it."""
        assert folder.names is not None
        while len(folder.pending) < PENDING_FOLDERS:
            try:
                entry = next(folder.names, None)
            except OSError as exc:
                folder.stop_listing()
                yield FolderUnlisted(folder.key, _folder_trouble(exc))
                return
            if entry is None:
                folder.stop_listing()
                yield FolderListed(folder.key, folder.identity[0])
                return
            found = self._classify(folder, entry)
            if found is not None:
                yield found

    def _classify(self, folder: _Folder, entry: os.DirEntry[str]) -> Found | None:
        """What the name is; None for a folder, which waits in `pending`."""
        name = os.fsencode(entry.name)
        try:
            # One call says link or folder without a stat where the file system tells kinds in its listing.
            if entry.is_symlink():
                return Ignored(folder.key_of(name), NotLooked.LINK)
            if entry.is_dir(follow_symlinks=False):
                folder.pending.append(name)
                return None
            found = entry.stat(follow_symlinks=False)
        except OSError as exc:
            return Unreadable(folder.key_of(name), trouble_of(exc))
        if stat.S_ISREG(found.st_mode):
            if self._is_excluded_file(folder, name):
                return Ignored(folder.key_of(name), NotLooked.EXCLUDED)
            return FoundFile(folder.key_of(name), file_stat(found))
        if stat.S_ISDIR(found.st_mode):  # became one since it was listed
            folder.pending.append(name)
            return None
        return Ignored(folder.key_of(name), _not_looked(found.st_mode))

    def _enter_from(self, parent: _Folder, name: bytes) -> Iterator[Found]:
        """Enter a folder met in another one, if the rules allow."""
        components = (*parent.components, name)
        if _any(self._exclude, components, is_folder=True):
            yield FolderUnlisted(parent.key_of(name), FolderTrouble.EXCLUDED)
        elif len(components) > self._rules.max_depth:
            yield FolderUnlisted(parent.key_of(name), FolderTrouble.TOO_DEEP)
        else:
            included = parent.included or _any(self._include, components, is_folder=True)
            yield from self._enter(parent.fd, name, components, included)

    def _enter(self, parent_fd: int, name: bytes, components: tuple[bytes, ...], included: bool) -> Iterator[Found]:
        """Open a folder and start listing it, or yield why not."""
        fd = -1
        try:
            fd = open_folder(parent_fd, name)
            opened = os.fstat(fd)
            identity = (opened.st_dev, opened.st_ino)
            refused = self._refuses(identity)
            names = None if refused is not None else os.scandir(fd)
        except OSError as exc:
            refused, names = _folder_trouble(exc), None
        if names is None:
            if fd >= 0:
                os.close(fd)
            assert refused is not None
            yield FolderUnlisted(b"/".join(components), refused)
            return
        self._stack.append(_Folder(b"/".join(components), fd, identity, components, included, names))

    def _refuses(self, identity: tuple[int, int]) -> FolderTrouble | None:
        if any(above.identity == identity for above in self._stack):
            return FolderTrouble.LOOP  # a bind mount of a folder above: links are not entered at all
        if self._rules.one_file_system and self._stack and identity[0] != self._stack[0].identity[0]:
            return FolderTrouble.OTHER_DEVICE
        return None

    def _is_excluded_file(self, folder: _Folder, name: bytes) -> bool:
        if not self._exclude and folder.included:
            return False
        components = (*folder.components, name)
        if _any(self._exclude, components, is_folder=False):
            return True
        return not folder.included and not _any(self._include, components, is_folder=False)


def _any(patterns: tuple[Pattern, ...], components: tuple[bytes, ...], *, is_folder: bool) -> bool:
    return any(pattern.matches(components, is_folder=is_folder) for pattern in patterns)


def _not_looked(mode: int) -> NotLooked:
    if stat.S_ISFIFO(mode):
        return NotLooked.FIFO
    if stat.S_ISSOCK(mode):
        return NotLooked.SOCKET
    return NotLooked.LINK if stat.S_ISLNK(mode) else NotLooked.DEVICE


def _folder_trouble(exc: OSError) -> FolderTrouble:
    return _FOLDER_TROUBLES.get(trouble_of(exc), FolderTrouble.IO)


_FOLDER_TROUBLES: Final = {
    Trouble.PERMISSION: FolderTrouble.PERMISSION,
    Trouble.VANISHED: FolderTrouble.VANISHED,
    Trouble.NOT_A_FILE: FolderTrouble.VANISHED,  # replaced by a link since it was listed
}

"""Files that clamd clients name by path: SCAN and its kin, below the listener's roots only.

Rules
- A path counts as what it resolves to; that must lie below a root, and is then opened from the root down without
  following a link, so that nothing swapped in meanwhile leads out.
- What lies outside the roots is refused in the same words whether it is there or not.
- Lines name files as the client does: its own path, and below it what the folder holds. Nothing of it goes elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncGenerator, Generator
from functools import partial
from typing import TYPE_CHECKING, Final

from scanner.doors import clamd_replies as replies
from scanner.doors.answers import Answer
from scanner.doors.outside import WALK_S, Unanswered, folder_of, let_go
from scanner.doors.rules import MAX_REF_BYTES, DoorRules
from scanner.opening import Opened, Root, RootUnavailable, Trouble, Unopenable, open_file, open_root
from scanner.walking import FolderUnlisted, FoundFile, Ignored, Unreadable, walk

if TYPE_CHECKING:
    from scanner.doors.intake import Intake

# Files of one MULTISCAN in hand at once: enough for every worker process of a small machine.
MULTISCAN_LANES: Final = 4
_CHECK: Final = b"File path check failure: "
_CONTROLS: Final = re.compile(rb"[\x00-\x1f\x7f]")
OUTSIDE: Final = _CHECK + b"Permission denied. ERROR"
NO_ANSWER: Final = _CHECK + b"Timed out. ERROR"
_SAYS: Final = {
    Trouble.PERMISSION: OUTSIDE,
    Trouble.VANISHED: _CHECK + b"No such file or directory. ERROR",
    Trouble.NOT_A_FILE: _CHECK + b"Not supported file type. ERROR",
    Trouble.NAME: _CHECK + b"No such file or directory. ERROR",
    Trouble.IO: _CHECK + b"Input/output error. ERROR",
}


Found = Generator[FoundFile | tuple[bytes, bytes], None, None]


class PathScan:
    """One command that names a path: the lines of its reply, in the order they become known."""

    def __init__(self, intake: Intake, rules: DoorRules, path: bytes) -> None:
        self._intake = intake
        self._outside = intake.outside
        self._rules = rules
        self._path = path

    async def lines(self, *, stops_at_first: bool, lanes: int = 1) -> AsyncGenerator[bytes, None]:
        """`<path>: <what>` for every match and whatever could not be judged; OK for the path if there is none."""
        try:
            opened = await self._outside.call(
                self._open, undo=_let_go_of_root, of=folder_of(self._rules.roots, self._path)
            )
        except Unanswered:
            opened = NO_ANSWER
        if isinstance(opened, bytes):
            yield self._path + b": " + opened
            return
        root, key = opened
        try:
            said = False
            async for name, what in self._judged(root, key, 1 if stops_at_first else lanes):
                if what == b"OK":
                    continue
                said = True
                yield name + b": " + what
                if stops_at_first and what.endswith(b"FOUND"):
                    return
            if not said:
                yield self._path + b": OK"
        finally:
            root.close()

    async def _judged(self, root: Root, key: bytes, lanes: int) -> AsyncGenerator[tuple[bytes, bytes], None]:
        found = self._found(root, key)
        pending: set[asyncio.Task[tuple[bytes, bytes]]] = set()
        try:
            while True:
                step = await self._next(root, found)
                if isinstance(step, tuple):
                    yield step
                elif step is not None:
                    pending.add(asyncio.create_task(self._judge(root, key, step)))
                while pending and (step is None or len(pending) >= lanes):
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        yield task.result()
                if step is None:
                    return
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            with contextlib.suppress(ValueError):  # a thread that was given up is still at it
                found.close()

    async def _next(self, root: Root, found: Found) -> FoundFile | tuple[bytes, bytes] | None:
        try:
            return await self._outside.call(partial(next, found, None), WALK_S, of=root.fd)
        except Unanswered:
            return self._path, NO_ANSWER

    def _found(self, root: Root, key: bytes) -> Found:
        """Files to judge, and lines on what cannot be looked at. Links, pipes and devices are nothing to look at."""
        for item in walk(root.fd, below=key):
            match item:
                case FoundFile():
                    yield item
                case Ignored(key=path) if path == key:
                    yield self._path, _SAYS[Trouble.NOT_A_FILE]
                case Unreadable(key=path, trouble=trouble):
                    yield self._name(key, path), _SAYS[trouble]
                case FolderUnlisted(key=path):
                    yield self._name(key, path), _SAYS[Trouble.PERMISSION]
                case _:
                    pass

    async def _judge(self, root: Root, below: bytes, file: FoundFile) -> tuple[bytes, bytes]:
        path = self._client_path(below, file.key)
        try:
            opening = partial(open_file, root.fd, file.key)
            opened = await self._outside.call(opening, undo=_let_go_of_file, of=root.fd)
        except Unanswered:
            return self._name(below, file.key), NO_ANSWER
        if isinstance(opened, Unopenable):
            return self._name(below, file.key), _SAYS[opened.trouble]
        return self._name(below, file.key), replies.verdict(await self._answer(opened, path), self._rules)

    async def _answer(self, opened: Opened, path: bytes) -> Answer:
        try:
            return await self._intake.scan_fd(self._rules, opened.fd, path if len(path) <= MAX_REF_BYTES else None)
        finally:
            let_go(opened.fd)

    def _client_path(self, below: bytes, key: bytes) -> bytes:
        """What the client would call it."""
        within = key[len(below) :].lstrip(b"/")
        return self._path if not within else self._path.rstrip(b"/") + b"/" + within

    def _name(self, below: bytes, key: bytes) -> bytes:
        """The same, as a line may say it: a file's name cannot end the line and begin another."""
        path = self._client_path(below, key)
        return self._path + _CONTROLS.sub(b"?", path[len(self._path) :])

    def _open(self) -> tuple[Root, bytes] | bytes:
        """The root the path resolves into, and the key below it; else what to say."""
        if not self._path.startswith(b"/"):
            return OUTSIDE
        try:
            real = os.path.realpath(self._path)
        except (OSError, ValueError):
            return OUTSIDE
        for folder in self._rules.roots:
            if real == folder or real.startswith(folder.rstrip(b"/") + b"/"):
                root = open_root(folder)
                if isinstance(root, RootUnavailable):
                    return OUTSIDE
                return root, real[len(folder.rstrip(b"/")) + 1 :]
        return OUTSIDE


def _let_go_of_root(opened: tuple[Root, bytes] | bytes) -> None:
    if isinstance(opened, tuple):
        opened[0].close()


def _let_go_of_file(opened: Opened | Unopenable) -> None:
    if isinstance(opened, Opened):
        opened.close()

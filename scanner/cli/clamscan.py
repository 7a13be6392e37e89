"""`scan --clamscan`: what callers of ClamAV's clamscan run, with its options, its lines and its exit codes 0, 1 and 2.

Rules
- Callers know no other code: whatever keeps us from an answer ends in 2, never in 0 and never in 1.
- Options of clamscan that tune its engine are taken and mean nothing here. What would move, remove or log files, or is
  no option of clamscan, is refused: a caller that counts on it must hear that nothing of it happens.
- What is printed names files as the caller did; that is what it asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import click

from hashsets.errors import HashsetsError
from scanner.api import Scanner
from scanner.cli.output import note
from scanner.errors import ScannerError, UsageError
from scanner.opening import Opened, RootUnavailable, Unopenable, open_file, open_root
from scanner.walking import FolderUnlisted, FoundFile, Unreadable, walk

if TYPE_CHECKING:
    from scanner.doors.intake import Intake
    from scanner.doors.rules import DoorRules

EXIT_CLEAR, EXIT_FOUND, EXIT_ERROR = 0, 1, 2
# clamscan's own --max-scantime.
_DEADLINE_S: Final = 120.0
_CLOSE_S: Final = 60.0
_PIECE_BYTES: Final = 256 * 1024

_VALUES: Final = (
    "tempdir database fail-if-cvd-older-than exclude exclude-dir include include-dir bytecode-timeout exclude-pua"
    " include-pua structured-ssn-format structured-ssn-count structured-cc-count structured-cc-mode max-scantime"
    " max-filesize max-scansize max-files max-recursion max-dir-recursion max-embeddedpe max-htmlnormalize"
    " max-htmlnotags max-scriptnormalize max-ziptypercg max-partitions max-iconspe max-rechwp3 pcre-match-limit"
    " pcre-recmatch-limit pcre-max-filesize file-list on-undecidable move copy log"
)
_SWITCHES: Final = (
    "verbose archive-verbose debug quiet stdout no-summary infected suppress-ok-results bell leave-temps force-to-disk"
    " gen-json official-db-only recursive allmatch cross-fs follow-dir-symlinks follow-file-symlinks remove bytecode"
    " bytecode-unsigned statistics detect-pua detect-structured scan-mail phishing-sigs phishing-scan-urls"
    " heuristic-alerts heuristic-scan-precedence normalize scan-pe scan-elf scan-ole2 scan-pdf scan-swf scan-html"
    " scan-xmldocs scan-hwp3 scan-onenote scan-archive scan-image scan-image-fuzzy-hash alert-broken"
    " alert-broken-media alert-encrypted alert-encrypted-archive alert-encrypted-doc alert-macros alert-exceeds-max"
    " alert-phishing-ssl alert-phishing-cloak alert-partition-intersection nocerts dumpcerts disable-cache version"
    " allow-unsandboxed"
)
_WITH_VALUE: Final = frozenset(_VALUES.split())
_FLAGS: Final = frozenset(_SWITCHES.split())
_SHORT: Final = {
    "V": "version", "v": "verbose", "a": "archive-verbose", "i": "infected", "o": "suppress-ok-results",
    "r": "recursive", "z": "allmatch", "d": "database", "l": "log", "f": "file-list",
}  # fmt: skip
_REFUSED: Final = frozenset(("remove", "move", "copy", "log"))


@dataclass(slots=True)
class Call:
    """What the caller asked for."""

    paths: list[bytes] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    on_undecidable: Literal["error", "found", "ok"] = "error"


def parse(words: Sequence[str]) -> Call:
    """The words behind `scan --clamscan`, as getopt would read them. Raises UsageError."""
    call, rest = Call(), iter(words)
    for word in rest:
        if word == "--":
            call.paths += map(os.fsencode, rest)
        elif word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
            _option(call, name, value if has_value else None, rest)
        elif word.startswith("-") and word != "-":
            _short(call, word[1:], rest)
        else:
            call.paths.append(os.fsencode(word))
    return call


def _short(call: Call, letters: str, rest: Iterator[str]) -> None:
    for at, letter in enumerate(letters):
        name = _SHORT.get(letter, "")
        if name in _WITH_VALUE:
            _option(call, name, letters[at + 1 :] or None, rest)
            return
        _option(call, name, None, rest)


def _option(call: Call, name: str, value: str | None, rest: Iterator[str]) -> None:
    if name in _REFUSED and (value or "").lower() not in ("no", "false"):
        raise UsageError("Files are never moved, removed, copied or logged here: leave such options of clamscan out.")
    if name in _WITH_VALUE and value is None:
        value = next(rest, None)
        if value is None:
            raise UsageError("An option of clamscan lacks its value.")
    elif name not in _WITH_VALUE and name not in _FLAGS:
        raise UsageError("There is no such option of clamscan.")
    if name == "file-list":
        call.paths += _listed(value or "")
    elif name == "on-undecidable":
        if value not in ("error", "found", "ok"):
            raise UsageError("--on-undecidable takes one of error, found, ok.")
        call.on_undecidable = value  # type: ignore[assignment] # mypy does not narrow by `in`
    elif name in _FLAGS and (value or "yes").lower() not in ("no", "false", "0"):
        call.flags.add(name)


def _listed(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as lines:
            return [line for each in lines if (line := each.rstrip(b"\r\n"))]
    except (OSError, ValueError):
        raise UsageError("The file list cannot be read.") from None


def run(scanner: Scanner, words: Sequence[str]) -> int:
    """Do what was asked; the exit code."""
    try:
        call = parse(words)
        if "version" in call.flags:
            from scanner.doors.clamd_replies import version

            click.echo(version(scanner.store.catalogue(), datetime.now(UTC)))
            return EXIT_CLEAR
        scanner.allow_unsandboxed = scanner.allow_unsandboxed or "allow-unsandboxed" in call.flags
        scanner.pipeline  # noqa: B018 - opened before a thread is: worker processes are exec'd
        return asyncio.run(_Run(scanner, call).all())
    except (HashsetsError, ScannerError) as error:
        note(f"ERROR: {error}")
        return EXIT_ERROR


class _Run:
    """One call: its lines as they become known, then its summary."""

    def __init__(self, scanner: Scanner, call: Call) -> None:
        self._scanner = scanner
        self._call = call
        self._files = self._folders = self._found = self._errors = self._bytes = 0

    async def all(self) -> int:
        """Look at everything; the exit code."""
        from scanner.doors.intake import Bounds, Intake
        from scanner.doors.rules import DoorRules
        from scanner.metrics import Metrics

        scanner = self._scanner
        rules = DoorRules("clamscan", on_undecidable=self._call.on_undecidable, deadline_s=_DEADLINE_S)
        bounds = Bounds(lanes=1)
        intake = Intake(
            scanner.sets, scanner.ledger, scanner.pipeline, scanner.clock, scanner.home.spool, Metrics(["clamscan"]),
            bounds,
        )  # fmt: skip
        began_s = time.monotonic()
        intake.start()
        try:
            for path in self._call.paths or [b"."]:
                if path == b"-":
                    await self._stream(intake, rules)
                else:
                    await self._path(intake, rules, path)
        finally:
            await intake.close(_CLOSE_S)
        if "no-summary" not in self._call.flags:
            self._summary(time.monotonic() - began_s)
        return EXIT_FOUND if self._found else EXIT_ERROR if self._errors else EXIT_CLEAR

    async def _stream(self, intake: Intake, rules: DoorRules) -> None:
        from scanner.doors import clamd_replies
        from scanner.doors.answers import OverLimit

        upload = intake.begin(rules)
        stdin = sys.stdin.buffer
        with contextlib.suppress(OverLimit):  # the answer says so
            while piece := await asyncio.to_thread(lambda: stdin.read(_PIECE_BYTES)):
                await upload.write(piece)
        self._bytes += upload.received_bytes
        answer = await upload.finish()
        self._say(b"stdin", "Empty file" if answer.reason == "empty" else clamd_replies.verdict(answer, rules).decode())

    async def _path(self, intake: Intake, rules: DoorRules, path: bytes) -> None:
        if os.path.isdir(path):
            await self._folder(intake, rules, path)
            return
        folder, name = os.path.split(os.path.realpath(path))
        root = open_root(folder)
        opened = None if isinstance(root, RootUnavailable) else open_file(root.fd, name)
        if not isinstance(root, RootUnavailable):
            root.close()
        if isinstance(opened, Opened):
            await self._file(intake, rules, path, opened)
        else:
            self._unreadable(path, missing=not os.path.lexists(path))

    async def _folder(self, intake: Intake, rules: DoorRules, path: bytes) -> None:
        root = open_root(path)
        if isinstance(root, RootUnavailable):
            self._unreadable(path, missing=False)
            return
        folders = {b""}
        with root:
            for item in walk(root.fd):
                if "recursive" not in self._call.flags and (b"/" in item.key or isinstance(item, FolderUnlisted)):
                    continue
                folders.add(os.path.dirname(item.key))
                named = os.path.join(path, item.key)
                if isinstance(item, Unreadable | FolderUnlisted):
                    self._unreadable(named, missing=False)
                elif isinstance(item, FoundFile):
                    opened = open_file(root.fd, item.key)
                    if isinstance(opened, Unopenable):
                        self._unreadable(named, missing=False)
                    else:
                        await self._file(intake, rules, named, opened)
        self._folders += len(folders)  # that hold anything

    async def _file(self, intake: Intake, rules: DoorRules, path: bytes, opened: Opened) -> None:
        from scanner.doors import clamd_replies
        from scanner.doors.rules import MAX_REF_BYTES

        with opened:
            if not opened.stat.size_bytes:
                self._say(path, "Empty file")
                return
            ref = os.path.abspath(path)
            answer = await intake.scan_fd(rules, opened.fd, ref if len(ref) <= MAX_REF_BYTES else None)
        self._bytes += opened.stat.size_bytes
        self._say(path, clamd_replies.verdict(answer, rules).decode())

    def _say(self, path: bytes, words: str) -> None:
        self._files += words != "Empty file"  # as clamscan counts
        self._found += words.endswith(" FOUND")
        self._errors += words.endswith(" ERROR")
        flags = self._call.flags
        quiet = "quiet" in flags and not words.endswith(" ERROR")
        only_hits = flags & {"infected", "suppress-ok-results"} and not words.endswith((" FOUND", " ERROR"))
        if not quiet and not only_hits:
            _print(path, words)

    def _unreadable(self, path: bytes, *, missing: bool) -> None:
        self._errors += 1
        if missing:
            _print(path, "No such file or directory", to_stderr=True)
        _print(b"WARNING: " + path, "Can't access file", to_stderr=True)

    def _summary(self, seconds: float) -> None:
        known = sum(each.entries for each in self._scanner.store.hash_sets() if each.enabled)
        mebibytes = self._bytes / 2**20
        click.echo("\n----------- SCAN SUMMARY -----------")
        click.echo(f"Known viruses: {known}\nEngine version: {_version()}\nScanned directories: {self._folders}")
        click.echo(f"Scanned files: {self._files}\nInfected files: {self._found}")
        if self._errors:
            click.echo(f"Total errors: {self._errors}")
        click.echo(f"Data scanned: {mebibytes:.2f} MB\nData read: {mebibytes:.2f} MB (ratio 1.00:1)")
        click.echo(f"Time: {seconds:.3f} sec ({seconds // 60:.0f} m {seconds % 60:.0f} s)")


_CONTROLS: Final = re.compile(rb"[\x00-\x1f\x7f]")


def _print(path: bytes, words: str, *, to_stderr: bool = False) -> None:
    """One line; a file's name cannot end it and begin another."""
    click.echo(_CONTROLS.sub(b"?", path) + b": " + words.encode(), err=to_stderr)


def _version() -> str:
    return f"hashward-{importlib.metadata.version('hashward')}"

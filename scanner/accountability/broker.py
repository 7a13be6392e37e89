"""The broker: keeps the audit log under a user of its own, so that the scanner's can add to it and change nothing.

Over a Unix socket, in lines of JSON: `append`, which answers once the lines are on disk; `standing`; `read`, whose
answer is followed by so many bytes of the log; `locations`, the keys that a scanner may hold; and `open`, which opens
boxes of sealed locations once a line that says so is on disk. The kernel says who asks; users who are not named are
not answered.

Rules
- What comes in is a stranger's: checked field by field, bounded in length, in number and in time.
- A request whose answer got lost is asked again: lines are known by their uid and written once.
- No box is opened unless a line of one of `OPENS` says by whom and why, with how many boxes it was for.
- Neither a request nor anything of it reaches an error or a log.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import select
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from scanner import unix_socket
from scanner.accountability import keeping
from scanner.accountability.audit import Event
from scanner.accountability.chain import Standing
from scanner.accountability.keeping import NOT_BEGUN, Entry
from scanner.accountability.location_file import LocationFile
from scanner.accountability.log_file import LogFile
from scanner.errors import AuditError, ScannerError, UsageError
from scanner.location_keys import LocationKeys, WalkKey

MAX_REQUEST_BYTES: Final = 8 * 2**20  # 256 lines of the longest, twice
MAX_READ_BYTES: Final = 2**20
MOST_AT_ONCE: Final = 32
MOST_BOXES: Final = 256
# Whoever opens says these things: of a case, or of paths and refs told at the terminal or to the operator's own system.
OPENS: Final = {Event.CASE_OPENED.value: ("by", "because"), Event.PLACES_TOLD.value: ("how",)}
UNANSWERED: Final = "The broker of the audit log does not answer, or not us; what is owed to the log stays owed."
NO_KEYS: Final = (
    "The broker, which has the keys of sealed locations, does not answer, or not us: until it does, nothing can begin"
    " to walk, take uploads in or seal."
)
_REQUESTS: Final = ("append", "standing", "read", "locations", "open")
_PART_BYTES: Final = 4 * 2**20  # of boxes a request, which base64 makes a third more
_MOST_ENTRIES: Final = 256
_MOST_REMEMBERED: Final = 10_000  # more than all requests under way can hold
_IDLE_S: Final = 60.0  # for one request to come whole, and for one answer to be taken
_ANSWER_S: Final = 120.0  # the log's own lock is waited for up to a minute

_FORMS: Final = {
    "uid": re.compile(r"[0-9a-f]{32}"),
    "at": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"),
    "event": re.compile(r"[a-z_]{1,64}"),
}


class Broker:
    """Answers at a socket until told to stop."""

    def __init__(self, folder: Path, users: frozenset[int]) -> None:
        self._files = LogFile(folder)
        self._locations = LocationFile(folder, self.has_sealed)
        self._users = users
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._writing = threading.Lock()
        self._written: dict[
            str, None
        ] = {}  # the uids of the latest lines: a request may come after the one that repeats it
        self._woken, self._wake = socket.socketpair()

    def stop(self) -> None:
        """End `serve` soon. May be called from a signal handler."""
        with contextlib.suppress(OSError):
            self._wake.send(b"x")

    def serve(self, listener: socket.socket) -> None:
        """Answer whoever may ask. What was answered is on disk, so an end at any time is a good one."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while self._woken.fileno() not in dict(poll.poll()):
            with contextlib.suppress(OSError):  # they have gone meanwhile
                connection, _ = listener.accept()
                self._take(connection)
        self._woken.close()
        self._wake.close()

    def _take(self, connection: socket.socket) -> None:
        user = unix_socket.user_of(connection)
        if user not in self._users or not self._places.acquire(blocking=False):
            connection.close()
            return
        threading.Thread(target=self._converse, args=(connection, user), name="broker", daemon=True).start()

    def _converse(self, connection: socket.socket, user: int) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_IDLE_S)
                with connection.makefile("rb") as requests:
                    while (line := requests.readline(MAX_REQUEST_BYTES + 1)).endswith(b"\n"):
                        connection.sendall(self._answer(line, user))
        finally:
            self._places.release()

    def _answer(self, line: bytes, user: int) -> bytes:
        try:
            asked = json.loads(line)
            if not isinstance(asked, dict) or asked.get("op") not in _REQUESTS:
                raise UsageError("The broker does not know that request.")
            if asked["op"] == "read":
                return self._read(asked)
            said = self._said(asked, user)
        except (ValueError, RecursionError):
            said = {"error": "The broker was asked in a form it does not know.", "usage": True}
        except ScannerError as error:
            said = {"error": str(error), "usage": isinstance(error, UsageError)}
        return json.dumps(said).encode() + b"\n"

    def _said(self, asked: dict[str, Any], user: int) -> dict[str, Any]:
        if asked["op"] == "append":
            return self._append(asked, user)
        if asked["op"] == "open":
            return self._open(asked, user)
        return self._location_keys() if asked["op"] == "locations" else self._standing()

    def _append(self, asked: dict[str, Any], user: int) -> dict[str, Any]:
        given = asked.get("entries")
        if not isinstance(given, list) or not 0 < len(given) <= _MOST_ENTRIES:
            raise UsageError("The broker takes 1 to 256 lines at once.")
        return {"last": self._write([_entry(each) for each in given], user)}

    def _write(self, entries: Sequence[Entry], user: int) -> int:
        with self._writing:
            known = [replace(each, again=each.again or each.uid in self._written) for each in entries]
            last = self._files.append(known, user)
            self._written |= dict.fromkeys(each.uid for each in entries)
            for uid in list(self._written)[: max(0, len(self._written) - _MOST_REMEMBERED)]:
                del self._written[uid]
        return last

    def has_sealed(self) -> bool:
        """Whether the log says that a home was sealed under this broker's keys, or anything opened with them."""
        return any(
            line.event == Event.LOCATIONS_SEALED or "boxes" in line.particulars for line in keeping.lines(self._files)
        )

    def _location_keys(self) -> dict[str, Any]:
        if not self._files.begun:
            raise UsageError(NOT_BEGUN)
        keys = self._locations.public()
        return {"walk": keys.walk.secret.hex(), "public": keys.public.hex()}

    def _open(self, asked: dict[str, Any], user: int) -> dict[str, Any]:
        given = asked.get("boxes")
        if not isinstance(given, list) or not 0 < len(given) <= MOST_BOXES:
            raise UsageError(f"The broker opens 1 to {MOST_BOXES} boxes at once.")
        boxes = [base64.b64decode(each, validate=True) for each in given if type(each) is str]
        entry = _entry(asked.get("entry"))
        why = [entry.particulars.get(word) for word in OPENS.get(entry.event, ())]
        said = bool(why) and all(isinstance(each, str) and each.strip() for each in why)
        if not said or entry.again or len(boxes) != len(given):
            raise UsageError("The broker opens boxes for a line that says why, and for no other.")
        # Under a uid of our own: one that was written before would be taken for that line, and none be written.
        written = {**entry.particulars, "boxes": len(boxes)}
        line = self._write([replace(entry, uid=secrets.token_hex(16), particulars=written)], user)
        opened = [self._locations.open(box) for box in boxes]
        return {"line": line, "opened": [None if each is None else base64.b64encode(each).decode() for each in opened]}

    def _standing(self) -> dict[str, Any]:
        standing = self._files.standing()
        begun, size = self._files.begun, self._files.size()
        return {"begun": begun, "size": size, "standing": None if standing is None else asdict(standing)}

    def _read(self, asked: dict[str, Any]) -> bytes:
        start, most = asked.get("start"), asked.get("bytes")
        if type(start) is not int or type(most) is not int or start < 0 or not 0 < most <= MAX_READ_BYTES:
            raise UsageError("The broker gives 1 byte to 1 MiB of the log at once.")
        content = b"".join(self._files.pieces(start + most, start))
        return json.dumps({"bytes": len(content)}).encode() + b"\n" + content


def _entry(given: object) -> Entry:
    """An entry somebody sent. Raises UsageError."""
    fields = {"uid", "at", "event", "particulars", "again"}
    if not isinstance(given, dict) or given.keys() != fields:
        raise UsageError("The broker was sent a line with other fields than it knows.")
    if any(type(given[name]) is not str or not form.fullmatch(given[name]) for name, form in _FORMS.items()):
        raise UsageError("The broker was sent a line whose uid, time or event is none.")
    said = given["particulars"]
    if not isinstance(said, dict) or any(type(value) not in (str, int, bool, type(None)) for value in said.values()):
        raise UsageError("The broker was sent a line whose particulars are more than texts and whole numbers.")
    return Entry(given["uid"], given["at"], given["event"], said, given["again"] is True)


class BrokerLog:
    """The broker's log, from the other end of its socket: a `keeping.Keeper`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def begun(self) -> bool:
        """Whether there is a log."""
        return bool(self._ask({"op": "standing"})["begun"])

    def begin(self, _first: Entry, _show: Callable[[str], None]) -> None:
        """The broker's user begins it. Raises UsageError."""
        raise UsageError("The audit log is the broker's: begin it as the broker's user, in the broker's home.")

    def append(self, entries: Sequence[Entry]) -> int:
        """See `keeping.Keeper`."""
        return int(self._ask({"op": "append", "entries": [asdict(each) for each in entries]})["last"])

    def standing(self) -> Standing | None:
        """See `keeping.Keeper`."""
        said = self._ask({"op": "standing"})["standing"]
        return None if said is None else Standing(**said)

    def pieces(self, end: int | None = None, start: int = 0) -> Iterator[bytes]:
        """See `keeping.Keeper`."""
        end = self.size() if end is None else end
        while start < end and (piece := self._piece(start, min(end - start, MAX_READ_BYTES))):
            start += len(piece)
            yield piece

    def size(self) -> int:
        """See `keeping.Keeper`."""
        return int(self._ask({"op": "standing"})["size"])

    def location_keys(self) -> LocationKeys:
        """See `keeping.Keeper`."""
        with self._asking({"op": "locations"}, NO_KEYS) as (said, _):
            return LocationKeys(WalkKey(bytes.fromhex(said["walk"])), bytes.fromhex(said["public"]))

    def open(self, entry: Entry, boxes: Sequence[bytes]) -> tuple[int, dict[bytes, bytes | None]]:
        """See `keeping.Keeper`."""
        line, opened = 0, dict[bytes, bytes | None]()
        for part in _parts(list(dict.fromkeys(boxes))):
            sent = [base64.b64encode(box).decode() for box in part]
            with self._asking({"op": "open", "entry": asdict(entry), "boxes": sent}) as (answer, _):
                read = [None if each is None else base64.b64decode(each) for each in answer["opened"]]
                opened |= zip(part, read, strict=True)
                line = int(answer["line"])
        return line, opened

    def _piece(self, start: int, most: int) -> bytes:
        with self._asking({"op": "read", "start": start, "bytes": most}) as (said, rest):
            return rest(int(said["bytes"]))

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._asking(request) as (said, _):
            return said

    @contextlib.contextmanager
    def _asking(
        self, request: dict[str, Any], unanswered: str = UNANSWERED
    ) -> Iterator[tuple[dict[str, Any], Callable[[int], bytes]]]:
        """One request and its answer, with what comes behind it. Raises AuditError, UsageError."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_ANSWER_S)
                connection.connect(str(self._path))
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile("rb") as answers:
                    yield _said(answers.readline(MAX_REQUEST_BYTES)), answers.read
        except (OSError, ValueError, KeyError, TypeError):
            raise AuditError(unanswered) from None


def _parts(boxes: Sequence[bytes]) -> Iterator[list[bytes]]:
    """In as many requests as it takes."""
    part: list[bytes] = []
    for box in boxes:
        if len(part) == MOST_BOXES or sum(map(len, part)) + len(box) > _PART_BYTES:
            yield part
            part = []
        part.append(box)
    if part:
        yield part


def _said(line: bytes) -> dict[str, Any]:
    said = json.loads(line)
    if "error" in said:
        sentence = str(said["error"])
        raise UsageError(sentence) if said.get("usage") or sentence == NOT_BEGUN else AuditError(sentence)
    return dict(said)

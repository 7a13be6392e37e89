"""Handing one upload to `hashward serve` and getting the verdict: by HTTP, over TCP or a Unix socket.

Rules
- No answer in time, a broken connection, an answer that is none: undecidable, never clear. Nothing here raises for it.
- Imports the standard library alone and nothing of ours.
- Names, refs and tokens appear in no message.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

CLEAR, ACCEPTED, MATCHED, UNDECIDABLE = "clear", "accepted", "matched", "undecidable"
MAX_ANSWER_BYTES: Final = 65_536
PIECE_BYTES: Final = 65_536


@dataclass(frozen=True)
class Verdict:
    """What was said of an upload, and whether hashward's own rules block it.

    `name` may be shown to people; `reason` is set where nothing could be said.
    """

    verdict: str
    name: str = ""
    reason: str | None = None
    block: bool = True


def undecided(reason: str) -> Verdict:
    """Nothing can be said, by the name hashward itself has for that."""
    return Verdict(UNDECIDABLE, "Policy.Undecidable", reason)


NOTHING_SENT: Final = Verdict(CLEAR, block=False)
UNREACHABLE: Final = undecided("unreachable")


@dataclass(frozen=True)
class Door:
    """Where `hashward serve` listens, and what is to happen where nothing can be said.

    `address` is `http://HOST:PORT`, `https://HOST:PORT` or `unix:/path`. `timeout_s` bounds the wait for a verdict once
    all bytes are there, and any stall before. `allow_undecidable` lets pass what could not be judged, and everything
    while hashward is down.
    """

    address: str = "http://127.0.0.1:8417"
    token: str | None = None
    timeout_s: float = 30.0
    allow_undecidable: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme == "unix" and parts.path.startswith("/"):
            return
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("the address of hashward is http://HOST:PORT, https://HOST:PORT or unix:/path")

    def allows(self, verdict: Verdict) -> bool:
        """Whether an upload with that verdict may be kept."""
        return not verdict.block or (self.allow_undecidable and verdict.verdict == UNDECIDABLE)

    def scan(
        self, pieces: Iterable[bytes], *, ref: bytes | None = None, content_type: str = "application/octet-stream"
    ) -> Verdict:
        """The verdict on bytes that come in pieces."""
        upload = Upload(self, ref=ref, content_type=content_type)
        try:
            for piece in pieces:
                upload.write(piece)
            return upload.finish()
        finally:
            upload.abort()

    # -- what goes over the wire -------------------------------------------------------------------------------------

    def connect(self) -> socket.socket:
        """A connection. Raises OSError."""
        parts = urlsplit(self.address)
        if parts.scheme == "unix":
            talk = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                talk.settimeout(self.timeout_s)
                talk.connect(parts.path)
            except OSError:
                talk.close()
                raise
            return talk
        port = parts.port or (443 if parts.scheme == "https" else 80)
        talk = socket.create_connection((parts.hostname or "", port), timeout=self.timeout_s)
        if parts.scheme == "http":
            return talk
        try:
            return ssl.create_default_context().wrap_socket(talk, server_hostname=parts.hostname)
        except OSError:
            talk.close()
            raise

    def head(self, ref: bytes | None, content_type: str, *, path: str = "/v1/scan", encoding: str = "") -> bytes:
        """The header of a request whose body follows in chunks, in that content coding."""
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {urlsplit(self.address).netloc or 'localhost'}",
            "Transfer-Encoding: chunked",
            "Connection: close",
            f"Content-Type: {_one_line(content_type)}",
        ]
        if encoding:
            lines.append(f"Content-Encoding: {_one_line(encoding)}")
        if self.token is not None:
            lines.append(f"Authorization: Bearer {_one_line(self.token)}")
        head = "\r\n".join((*lines, "")).encode("ascii", "replace")
        return head + (b"" if ref is None else b"Hashward-Ref: %b\r\n" % _header_safe(ref)) + b"\r\n"


def _header_safe(ref: bytes) -> bytes:
    """A ref as it is; what no header can carry (control characters, blanks at its ends) percent-encoded."""
    middle = b"".join(b"%%%02X" % byte if byte < 0x20 or byte == 0x7F else bytes((byte,)) for byte in ref)
    if middle[:1] == b" ":
        middle = b"%20" + middle[1:]
    return middle[:-1] + b"%20" if middle[-1:] == b" " else middle


def _one_line(text: str) -> str:
    return "".join(each for each in text if each.isprintable())


def chunk(data: bytes) -> bytes:
    """One piece of a body (RFC 9112, section 7.1); of no bytes, its end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def is_whole(answer: bytes) -> bool:
    """Whether all of an answer is there, where it says its length."""
    head, gap, body = answer.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return bool(gap) and len(body) >= int(value)
    return False


def verdict_of(answer: bytes) -> Verdict:
    """What an answer says; anything but a verdict in JSON says nothing."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head[9:12]
    if not head.startswith(b"HTTP/1.") or not status.isdigit():
        return UNREACHABLE
    try:
        said = json.loads(body)
        verdict, name, reason, block = said["verdict"], said.get("name") or "", said.get("reason"), said.get("block")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return undecided(f"http_{status.decode()}")
    if verdict == UNDECIDABLE:
        lets_pass = block is False and status[:1] == b"2"
        return Verdict(verdict, "Policy.Undecidable", str(reason), block=not lets_pass)
    if verdict not in (CLEAR, ACCEPTED, MATCHED) or not isinstance(name, str) or status != b"200":
        return undecided(f"http_{status.decode()}")
    return Verdict(verdict, name, block=verdict == MATCHED)


class Upload:
    """One upload being handed over, by a thread that may wait. Ends with `finish` or `abort`; both may follow."""

    def __init__(
        self,
        door: Door,
        *,
        ref: bytes | None = None,
        content_type: str = "application/octet-stream",
        path: str = "/v1/scan",
        encoding: str = "",
    ) -> None:
        self._door = door
        self._talk: socket.socket | None = None
        self._broken = False
        try:
            self._talk = door.connect()
            self._talk.sendall(door.head(ref, content_type, path=path, encoding=encoding))
        except OSError:
            self._broken = True

    def write(self, data: bytes) -> None:
        """Hand over the next bytes."""
        if data:
            self._send(chunk(data))

    def _send(self, data: bytes) -> None:
        if self._broken or self._talk is None:
            return
        try:
            self._talk.sendall(data)
        except OSError:  # it may have answered before the end: `finish` reads what it said
            self._broken = True

    def finish(self) -> Verdict:
        """The verdict on everything that was handed over."""
        self._send(chunk(b""))
        try:
            # What was refused halfway was not judged whole, whatever was said of it: only a match counts.
            verdict = UNREACHABLE if self._talk is None else verdict_of(self._answer(self._talk))
        except OSError:
            verdict = UNREACHABLE
        finally:
            self.abort()
        return UNREACHABLE if self._broken and verdict.verdict != MATCHED else verdict

    def _answer(self, talk: socket.socket) -> bytes:
        deadline = time.monotonic() + self._door.timeout_s
        answer = b""
        while not is_whole(answer) and len(answer) <= MAX_ANSWER_BYTES:
            talk.settimeout(max(deadline - time.monotonic(), 0.001))
            more = talk.recv(PIECE_BYTES)
            if not more:
                break
            answer += more
        return answer

    def abort(self) -> None:
        """Let go of the connection; before the end of the body nothing is kept of it."""
        if self._talk is not None:
            self._talk.close()
            self._talk = None


def pieces_of(file: object) -> Iterable[bytes]:
    """The bytes of an open binary file from where it stands."""
    read = file.read  # type: ignore[attr-defined]  # any file object of any framework
    while piece := read(PIECE_BYTES):
        yield piece

"""Acting on it, on the spot: tells the operator's own system which asset to restrict, review or release.

Never off-host: a command that gets the action as JSON on standard input, a Unix socket, or HTTP on a loopback address.
What is told may name refs, paths and digests, which no report may.

Rules
- At least once: an action stays owed until the target takes it, and is tried again after a growing pause. Targets must
  take an action they know again; `id` tells it.
- One process of a home tells at a time, one action after the other: a release cannot overtake its restriction.
- No error says a path, a ref, a digest, or what the target answered.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from hashsets.locking import open_private
from scanner.action_config import ActionsConfig
from scanner.clock import Clock
from scanner.errors import DeliveryError
from scanner.ledger import Ledger
from scanner.ledger.actions import ActionRules, Owed

LOCK_NAME: Final = "actions-lock"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 300.0  # a restriction is urgent: a target that is back waits five minutes at most
FOUND_AT_ONCE = 64  # each a line of the audit log where locations are sealed
FAILURES_A_ROUND = 3  # in a row: the target is down, and the rest of a long queue would only wait for it
_MAX_ANSWER_BYTES = 65_536
_MAX_TOKEN_BYTES = 8192  # servers commonly refuse a header line over 8 kB
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


# The paths or refs of assets; None for one that nobody can open any more.
Find = Callable[[Sequence[int]], Sequence[bytes | None]]


class Target(Protocol):
    """The operator's own system."""

    def tell(self, action: bytes) -> None:
        """Hand over one action, one line of JSON. Raises DeliveryError unless it was taken."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """What one round did: actions taken, not taken, and still waiting. `elsewhere`: another process is at it."""

    delivered: int = 0
    failed: int = 0
    waiting: int = 0
    elsewhere: bool = False


def encode(action: Owed, where: bytes | None) -> bytes:
    """One action as the target hears it: a line of JSON. A ref or path that is no UTF-8 comes in base64; an upload that
    came without a ref, or whose ref nobody can open any more, is named by its digest alone.
    """
    key = "ref" if action.is_upload else "path"
    try:
        place = {key: where.decode("utf-8")} if where else {}
    except UnicodeDecodeError:
        place = {f"{key}_base64": base64.b64encode(where or b"").decode("ascii")}
    said = {
        "id": action.id,
        "verb": action.verb.value,
        **place,
        "sha256": action.sha256.hex(),
        "tier": action.tier.value,
        "media": action.media.value,
    }
    return json.dumps(said, ensure_ascii=True).encode("ascii") + b"\n"


def rules_of(config: ActionsConfig) -> ActionRules:
    """What a match asks for, as configured."""
    return ActionRules(config.exact, config.near, config.hash_sets)


def draw(ledger: Ledger, config: ActionsConfig, clock: Clock, checkpoint: Callable[[], None] = lambda: None) -> int:
    """Turn every match that has moved into actions; how many contents that concerned."""
    drawn = 0
    while done := ledger.actions.draw(rules_of(config), clock.now_ns()):
        drawn += done
        checkpoint()
    return drawn


def act(
    ledger: Ledger,
    config: ActionsConfig,
    clock: Clock,
    find: Find,
    *,
    even_if_waiting: bool = False,
    checkpoint: Callable[[], None] = lambda: None,
) -> Told:
    """Draw what is due and tell it, one round. Never raises for a target: what is not taken stays owed.

    `find` says where assets are; what it raises ends the round.
    """
    draw(ledger, config, clock, checkpoint)
    target = target_of(config)
    with _only_one(ledger.db.path.parent) as alone:
        if not alone:
            return Told(waiting=ledger.actions.waiting(), elsewhere=True)
        delivered = failed = in_a_row = 0
        owed = ledger.actions.owed(clock.now_ns(), even_if_waiting=even_if_waiting)
        for action, where in _found(owed, find):
            checkpoint()
            if not ledger.actions.begin(action, clock.now_ns() + pause_ns(action.attempts)):
                continue  # withdrawn meanwhile
            try:
                target.tell(encode(action, where))
            except DeliveryError:
                failed, in_a_row = failed + 1, in_a_row + 1
                if in_a_row == FAILURES_A_ROUND:
                    break
                continue
            ledger.actions.taken(action, clock.now_ns())
            delivered, in_a_row = delivered + 1, 0
        return Told(delivered, failed, ledger.actions.waiting() - failed)


def _found(owed: Sequence[Owed], find: Find) -> Iterator[tuple[Owed, bytes | None]]:
    """With where they are, found for few at first: while a target is down, little is looked up in vain."""
    start, size = 0, 1
    while start < len(owed):
        part = owed[start : start + size]
        yield from zip(part, find([action.asset_id for action in part]), strict=True)
        start, size = start + size, min(2 * size, FOUND_AT_ONCE)


def pause_ns(attempts: int) -> int:
    """How long to wait after one more failure: from the upper half of a doubling pause, at most five minutes."""
    ceiling = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempts, 16))
    return int(ceiling * (1 + random.SystemRandom().random()) / 2 * 10**9)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[bool]:
    """Whether this process is the one that tells."""
    lock = open_private(home / LOCK_NAME)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)


# -- targets -----------------------------------------------------------------------------------------------------------


def target_of(config: ActionsConfig) -> Target:
    """The target a configuration names."""
    if config.command:
        return CommandTarget(config.command, config.timeout_seconds)
    if config.socket is not None:
        return SocketTarget(config.socket, config.timeout_seconds)
    assert config.url is not None
    return LoopbackTarget(config.url, config.token_file, config.timeout_seconds)


class CommandTarget:
    """A program of the operator: the action on standard input, exit 0 means taken. It inherits nothing of ours."""

    def __init__(self, command: tuple[str, ...], timeout_s: float) -> None:
        self._command = command
        self._timeout_s = timeout_s

    def tell(self, action: bytes) -> None:
        """Run it once. Raises DeliveryError."""
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as exc:
            raise _not_taken(f"the command cannot be started ({os.strerror(exc.errno or 0)})") from None
        try:
            process.communicate(action, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it has started; it is not waited for, so still there
            process.communicate()
            raise _not_taken("the command took too long") from None
        if process.returncode:
            raise _not_taken("the command ended in an error")


class SocketTarget:
    """A Unix socket: one line there, one line back; `ok` means taken."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def tell(self, action: bytes) -> None:
        """Ask once. Raises DeliveryError."""
        if _exchange([(socket.AF_UNIX, os.fspath(self._path))], action, self._timeout_s).strip() != b"ok":
            raise _not_taken("the socket did not answer ok")


class LoopbackTarget:
    """HTTP on a loopback address: a POST of application/json, any 2xx means taken."""

    def __init__(self, url: str, token_file: Path | None, timeout_s: float) -> None:
        self._parts = urlsplit(url)
        self._token_file = token_file
        self._timeout_s = timeout_s

    def tell(self, action: bytes) -> None:
        """Post once. Raises DeliveryError."""
        head = [
            f"POST {self._parts.path or '/'} HTTP/1.1".encode("ascii"),
            b"Host: " + self._parts.netloc.encode("ascii"),
            b"Content-Type: application/json",
            b"Content-Length: %d" % len(action),
            b"Connection: close",
            *self._authorization(),
        ]
        line = _exchange(self._addresses(), b"\r\n".join(head) + b"\r\n\r\n" + action, self._timeout_s)
        words = line.split()
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not (len(words[1]) == 3 and words[1][:1] == b"2"):
            raise _not_taken("the receiver on this host did not answer 2xx")

    def _addresses(self) -> list[tuple[int, object]]:
        """Loopback alone, whatever a resolver says of the name localhost."""
        host, port = self._parts.hostname or "", self._parts.port or 80
        hosts = ("127.0.0.1", "::1") if host == "localhost" else (host,)
        return [(socket.AF_INET6 if ":" in each else socket.AF_INET, (each, port)) for each in hosts]

    def _authorization(self) -> list[bytes]:
        if self._token_file is None:
            return []
        try:
            with self._token_file.open("rb") as file:
                token = file.read(_MAX_TOKEN_BYTES + 1).strip()
        except OSError as exc:
            raise _not_taken(f"the token_file cannot be read ({os.strerror(exc.errno or 0)})") from None
        if not token or len(token) > _MAX_TOKEN_BYTES or any(byte <= 0x20 or byte >= 0x7F for byte in token):
            raise _not_taken("the token_file holds no usable token")
        return [b"Authorization: Bearer " + token]


def _exchange(addresses: list[tuple[int, object]], request: bytes, timeout_s: float) -> bytes:
    """Send a request to the first address that listens; the first line of the answer, without its end."""
    deadline = time.monotonic() + timeout_s
    for number, (family, address) in enumerate(addresses, 1):
        try:
            with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as talk:
                talk.settimeout(timeout_s)
                talk.connect(address)  # type: ignore[arg-type]  # of that family
                talk.sendall(request)
                return _first_line(talk, deadline)
        except ConnectionRefusedError:
            if number == len(addresses):
                raise _not_taken("nobody listens there") from None
        except OSError as exc:
            raise _not_taken(f"the exchange failed ({type(exc).__name__})") from None
    raise _not_taken("there is nobody to tell")


def _first_line(talk: socket.socket, deadline: float) -> bytes:
    got = b""
    while b"\n" not in got:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or len(got) > _MAX_ANSWER_BYTES:
            raise _not_taken("no answer came in time")
        talk.settimeout(left_s)
        more = talk.recv(4096)
        if not more:
            break
        got += more
    return got.partition(b"\n")[0]


def _not_taken(why: str) -> DeliveryError:
    return DeliveryError(f"an action was not taken: {why}; it will be tried again")

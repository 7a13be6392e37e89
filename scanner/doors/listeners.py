"""Which listener stands for which kind of door: one line each.

A listener has `start()`, `drain(within_s)`, both to be awaited, and `describe()`. It owns its socket.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from scanner.accountability.review import Reviews
from scanner.clock import Clock
from scanner.doors.access import Gate
from scanner.doors.clamd import ClamdListener
from scanner.doors.http_app import application
from scanner.doors.http_requests import HttpDoor
from scanner.doors.http_server import HttpListener
from scanner.doors.icap import IcapListener
from scanner.doors.intake import Intake
from scanner.doors.rules import CUT_LENGTHS, DoorRules
from scanner.doors.s3_objects import Objects
from scanner.ledger.refusals import Refusals
from scanner.ledger.tokens import Tokens
from scanner.metrics import Metrics
from scanner.serve_config import DoorKind, ListenerConfig


class Listener(Protocol):
    """One listening socket and all that comes in by it."""

    async def start(self) -> None:
        """Begin to accept."""
        ...

    async def drain(self, within_s: float) -> None:
        """Accept no more; what is under way is answered, if it comes to its end in time."""
        ...

    def describe(self) -> str:
        """What stands here, for people: its kind, its name, how many connections."""
        ...


@dataclass(frozen=True, slots=True)
class House:
    """What listeners are made with."""

    intake: Intake
    tokens: Tokens
    clock: Clock
    metrics: Metrics
    spool: Path
    say: Callable[[str], None]
    refusals: Refusals
    objects: Objects | None = None
    reviews: Reviews | None = None


def rules_of(config: ListenerConfig) -> DoorRules:
    """A listener's rules as configured."""
    return DoorRules(
        config.name,
        on_undecidable=config.on_undecidable,
        on_match=config.on_match,
        deadline_s=config.deadline_s,
        max_bytes=config.max_mb * 2**20,
        roots=tuple(bytes(root.resolve()) for root in config.roots),
        rate_per_s=config.uploads_per_second,
        receive_s=config.receive_seconds,
        region=config.region,
        whole_files=config.whole_files,
        cut_lengths=CUT_LENGTHS if config.cut_lengths is None else frozenset(config.cut_lengths),
    )


def _http(config: ListenerConfig, sock: socket.socket, house: House) -> Listener:
    gate = Gate(house.tokens, house.clock, config.who)
    door = HttpDoor(
        rules_of(config), house.intake, gate, house.metrics, house.say, house.clock, house.refusals, house.objects,
        config.lookups_per_minute, house.reviews,
    )  # fmt: skip
    return HttpListener(config, sock, application(door), house.say)


def _clamd(config: ListenerConfig, sock: socket.socket, house: House) -> Listener:
    return ClamdListener(sock, house.intake, rules_of(config), most=config.max_connections, say=house.say)


def _icap(config: ListenerConfig, sock: socket.socket, house: House) -> Listener:
    return IcapListener(sock, house.intake, rules_of(config), house.spool, most=config.max_connections, say=house.say)


KINDS: Final[Mapping[DoorKind, Callable[[ListenerConfig, socket.socket, House], Listener]]] = {
    DoorKind.HTTP: _http,
    DoorKind.CLAMD: _clamd,
    DoorKind.ICAP: _icap,
}

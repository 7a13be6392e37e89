"""What clamd clients are told: verdicts, the version with the catalogue number, statistics.

Rules
- A verdict is one of the three words that all clients read: OK, FOUND, ERROR; the text before it holds no colon, as
  clients cut at the last one, and no list name, category or hash, as clients show it to people.
- What was cut, was too long or came before the lists were loaded is never OK, whatever the listener's rule.
- A stream of no bytes is OK, as clamd has it: nothing in it could be listed, and platforms hold empty files.
"""

from __future__ import annotations

import importlib.metadata
from datetime import datetime
from functools import cache

from scanner.doors.answers import NEVER_PASSES, UNDECIDABLE_NAME, Answer, Undecided, Verdict
from scanner.doors.rules import DoorRules

UNKNOWN = b"UNKNOWN COMMAND"
UNAVAILABLE = b"COMMAND UNAVAILABLE"
TIMED_OUT = b"COMMAND READ TIMED OUT"
NOT_READY = b"Hash lists are not loaded yet. ERROR"
OVER_LIMIT = b"INSTREAM size limit exceeded. ERROR"
NO_DESCRIPTOR = b"No file descriptor received. ERROR"
STRAY_DESCRIPTOR = b"PROTOCOL ERROR: ancillary data sent without FILDES. ERROR"
NOT_REGULAR = b"Not a regular file ERROR"
NOT_READABLE = b"Not open for reading ERROR"
NOT_IN_SESSION = b"Command invalid inside IDSESSION. ERROR"
NEEDS_PREFIX = rb"Only nCMDS\n and zCMDS\0 are accepted inside IDSESSION. ERROR"
NO_ANSWER = b"Ended before there was an answer. ERROR"
NOT_PROCESSED = b"Error processing command. ERROR"

COMMANDS = b"SCAN PING CONTSCAN VERSIONCOMMANDS VERSION END MULTISCAN FILDES STATS IDSESSION INSTREAM ALLMATCHSCAN"


def verdict(answer: Answer, rules: DoorRules) -> bytes:
    """What follows `<name>: ` in a reply."""
    if answer.verdict is Verdict.MATCHED:
        return answer.name.encode() + b" FOUND"
    reason = answer.reason
    if reason is None or reason == Undecided.EMPTY or (rules.on_undecidable == "ok" and reason not in NEVER_PASSES):
        return b"OK"
    if rules.on_undecidable == "found":
        return UNDECIDABLE_NAME.encode() + b" FOUND"
    return f"Undecidable {reason} ERROR".encode()


def version(catalogue: int | None, day: datetime | None) -> bytes:
    """`<product>/<number>/<date>`: clients that scan again on a newer database compare the number.

    The product begins as clients expect it to. Without a catalogue, as clamd without a database.
    """
    product = f"ClamAV {_product()}"
    if catalogue is None or day is None:
        return product.encode()
    return f"{product}/{catalogue}/{day:%a %b} {day.day:2} {day:%H:%M:%S %Y}".encode()


def stats(*, live: int, most: int, judging: int, ready: bool, idle_s: float) -> bytes:
    """The form of clamd's STATS, whose inner lines end in line feeds whatever ends the reply."""
    return (
        f"POOLS: 1\n\nSTATE: {'VALID' if ready else 'INVALID'} PRIMARY\n"
        f"THREADS: live {live}  idle 0 max {most} idle-timeout {idle_s:.0f}\n"
        f"QUEUE: {judging} items\n\tSTATS 0.000000 \n\n"
        "MEMSTATS: heap N/A mmap N/A used N/A free N/A releasable N/A pools 1 pools_used 0.000M pools_total 0.000M\nEND"
    ).encode()


@cache
def _product() -> str:
    return f"hashward-{importlib.metadata.version('hashward')}"

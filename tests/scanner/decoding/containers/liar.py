"""A worker in the hands of the file's maker, who claims members that are not there. Loaded by name in the worker."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from hashsets.types import Signal
from scanner.fingerprint import Limits, MediaFile, Options
from scanner.isolation import records
from scanner.isolation.channel import Channel
from scanner.isolation.worker import answer as honest
from scanner.types import WHOLE, MediaKind, Resume

CLAIMED = Signal("sha256", hashlib.sha256(b"listed").digest(), part="m1")


def answer(channel: Channel, file: MediaFile, options: Options, limits: Limits, resume: Resume | None) -> None:
    """Claim what the first word says, or do what an honest worker does."""
    word = file.at(0, 16).split(b" ")[0]
    if word == b"CLAIM":
        channel.send(records.pack_signal(CLAIMED))
        channel.send(records.pack_end(MediaKind.OTHER, WHOLE))
    elif word == b"ITSELF":
        channel.send(records.pack_signal(replace(CLAIMED, part=None)))
        channel.send(records.pack_end(MediaKind.OTHER, WHOLE))
    else:
        honest(channel, file, options, limits, resume)

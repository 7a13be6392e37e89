"""Hash types that others bring: licensed or private algorithms, such as PhotoDNA, installed beside hashward.

A distribution offers one under the entry point group `hashward.hash_types`; the entry point names an object that has
what `Algorithm` lists. Its code runs with our rights, in the parent to compare and in the confined worker to compute:
installing it is trusting it. What is offered but cannot be used is named with the reason, never left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

GROUP = "hashward.hash_types"
MOST_BYTES = 255  # of one value; a PhotoDNA value has 144
MOST_DISTANCE = 2**31 - 1
_NAME = re.compile(r"[a-z][a-z0-9_]{1,31}")

Distances = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.int64]]
Compute = Callable[[NDArray[np.uint8]], bytes | None]


class Algorithm(Protocol):
    """What a plug-in offers.

    `revision` rises whenever the same picture gives another value than before. `threshold` is the greatest distance
    that is a match, unless a set's rule says another.
    """

    name: str
    size_bytes: int
    revision: int
    threshold: int

    def distances(self, asked: NDArray[np.uint8], listed: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Values (n, size) against (m, size): their distances (n, m), from 0 for equal ones."""
        ...

    def compute(self, pixels: NDArray[np.uint8]) -> bytes | None:
        """The value of a picture, (height, width) grey or (height, width, 3) RGB; None where it has none."""
        ...


@dataclass(frozen=True, slots=True)
class Plugin:
    """One usable plug-in."""

    name: str
    size_bytes: int
    revision: int
    threshold: int
    distances: Distances
    compute: Compute


@dataclass(frozen=True, slots=True)
class Found:
    """What is installed: usable plug-ins by name, and why others cannot be used, by entry point."""

    plugins: dict[str, Plugin]
    refused: dict[str, str]


def installed(taken: frozenset[str]) -> Found:
    """Every plug-in that is installed. Names in `taken` are hashward's own and cannot be had."""
    found = Found({}, {})
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            plugin = checked(entry.load())
        except Refused as error:
            found.refused[entry.name] = str(error)
        except Exception as error:  # the border to others' code: its import may raise anything
            found.refused[entry.name] = f"it cannot be loaded ({type(error).__name__})"
        else:
            if plugin.name in taken or plugin.name in found.plugins:
                found.refused[entry.name] = "its name is taken by another hash type"
            else:
                found.plugins[plugin.name] = plugin
    return found


class Refused(Exception):
    """What a plug-in says of itself cannot be."""


def checked(offered: Any) -> Plugin:
    """The plug-in, once what it says of itself (an `Algorithm`, it should be) has been tried. Raises Refused."""
    if not isinstance(offered.name, str) or not _NAME.fullmatch(offered.name):
        raise Refused("its name must be 2 to 32 lower-case letters, digits and _, a letter first")
    for number, low, high in (
        (offered.size_bytes, 1, MOST_BYTES),
        (offered.revision, 1, 10**6),
        (offered.threshold, 0, MOST_DISTANCE),
    ):
        if type(number) is not int or not low <= number <= high:
            raise Refused(f"size_bytes is 1 to {MOST_BYTES}, revision from 1, threshold 0 to {MOST_DISTANCE}")
    zeros, ones = np.zeros((2, offered.size_bytes), np.uint8), np.full((3, offered.size_bytes), 255, np.uint8)
    equal, apart = offered.distances(zeros, zeros), offered.distances(zeros, ones)
    if equal.shape != (2, 2) or apart.shape != (2, 3) or equal.any() or not (apart > 0).all():
        raise Refused("its distances must be (n, m) for (n, size) and (m, size), and 0 for equal values alone")
    return Plugin(
        offered.name, offered.size_bytes, offered.revision, offered.threshold, offered.distances, offered.compute
    )

"""The first listing of very many entries that are nothing but a value: written from arrays, without an object an entry.

Takes a group of staged pages only where every record is a bare addition of its own, or says the same as another; for
the rest `Merger` looks at each. The rows are the same either way.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashsets.sqlite import Connection
from hashsets.store.pages import bare_records

_REF_BYTES = 16


@dataclass(frozen=True, slots=True)
class FreshRows:
    """Entries in the order of their key hashes: aligned arrays and lists."""

    key_hashes: NDArray[np.int64]
    labels: NDArray[np.int64]
    types: NDArray[np.int64]
    values: list[bytes]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, bodies: Sequence[bytes]) -> FreshRows | None:
        """The entries of a group's staged bodies; None where they need a closer look."""
        by_size: dict[int, list[NDArray[np.void]]] = {}
        for body in bodies:
            records = bare_records(body)
            if records is None:
                return None
            by_size.setdefault(int(records["size"][0]), []).append(records)
        groups = [np.concatenate(same) for same in by_size.values()]
        if not groups:
            return None
        columns = {name: np.concatenate([group[name] for group in groups]) for name in ("key_hash", "labels", "type")}
        values = np.empty(len(columns["key_hash"]), object)
        at = 0
        for group in groups:
            values[at : at + len(group)] = _bytes(group["value"])
            at += len(group)
        order = np.argsort(columns["key_hash"], kind="stable")
        return cls._distinct({name: column[order].astype(np.int64) for name, column in columns.items()}, values[order])

    @classmethod
    def _distinct(cls, columns: dict[str, NDArray[np.int64]], values: NDArray[Any]) -> FreshRows | None:
        """Each key once. Two keys of one hash, or one with two classifications, need a closer look."""
        hashes = columns["key_hash"]
        again = np.flatnonzero(hashes[1:] == hashes[:-1])
        for row in again.tolist():
            same = values[row] == values[row + 1]
            if not same or any(columns[name][row] != columns[name][row + 1] for name in ("labels", "type")):
                return None
        kept = np.ones(len(values), bool)
        kept[again + 1] = False
        columns = {name: column[kept] for name, column in columns.items()}
        return cls(columns["key_hash"], columns["labels"], columns["type"], values[kept].tolist())

    def write(self, connection: Connection, set_id: int, version: int) -> None:
        """Write all of it, with the next ids and random refs."""
        (first_id,) = connection.execute("SELECT next_entry_id FROM catalogue").fetchone()
        connection.execute("UPDATE catalogue SET next_entry_id = ?", (first_id + len(self),))
        ids = range(first_id, first_id + len(self))
        drawn = os.urandom(_REF_BYTES * len(self))
        refs = [drawn[at : at + _REF_BYTES] for at in range(0, len(drawn), _REF_BYTES)]
        run = connection.executemany
        run(
            f"INSERT INTO entry VALUES (?, {set_id:d}, ?, {version:d}, ?, ?, NULL)",
            zip(ids, self.key_hashes.tolist(), self.labels.tolist(), refs, strict=True),
        )
        run(
            f"INSERT INTO signal VALUES ({set_id:d}, ?, ?, ?, {version:d}, NULL, 0, NULL, NULL, NULL)",
            zip(ids, self.types.tolist(), self.values, strict=True),
        )


def _bytes(values: NDArray[np.uint8]) -> list[bytes]:
    """The rows of an array as bytes."""
    size = values.shape[1]
    written = values.tobytes()
    return [written[at : at + size] for at in range(0, len(written), size)]

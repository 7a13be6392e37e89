"""What lies between two versions of a set, entry by entry. Reads only, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hashsets.types import Classification

if TYPE_CHECKING:
    from hashsets.store.store import Store

PAGE_IDS = 5_000  # entries held at a time

Values = frozenset[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry at two versions: the (hash type, value) it lists and its classifications; nothing where not in force."""

    ref: str
    before: Values
    after: Values
    marks_before: tuple[Classification, ...]
    marks_after: tuple[Classification, ...]

    @property
    def kind(self) -> str:
        """`added`, `withdrawn`, `changed` (its values), `relabelled` (only its classifications), or `same`."""
        if bool(self.before) != bool(self.after):
            return "added" if self.after else "withdrawn"
        if self.before != self.after:
            return "changed"
        return "relabelled" if self.marks_before != self.marks_after else "same"


def between(store: Store, uid: bytes, from_version: int, to_version: int, ids: Sequence[int]) -> Iterator[Difference]:
    """The entries of these ids that differ."""
    for at in range(0, len(ids), PAGE_IDS):
        page = ids[at : at + PAGE_IDS]
        with store.read():
            old, new = _values(store, uid, from_version, page), _values(store, uid, to_version, page)
            old_details = store.details(uid, from_version, page)
            new_details = store.details(uid, to_version, page)
        for id_, known in new_details.items():
            before, after = old.get(id_, frozenset()), new.get(id_, frozenset())
            marks_before = old_details[id_].classifications if before else ()
            marks_after = known.classifications if after else ()
            found = Difference(known.ref, before, after, marks_before, marks_after)
            if found.kind != "same":
                yield found


def _values(store: Store, uid: bytes, version: int, ids: Sequence[int]) -> dict[int, Values]:
    gathered: dict[int, set[tuple[str, bytes]]] = {}
    if version:
        for name, columns in store.columns(uid, version, ids).items():
            for id_, value in zip(columns.entry_ids.tolist(), columns.values, strict=True):
                gathered.setdefault(id_, set()).add((name, value.tobytes()))
    return {id_: frozenset(values) for id_, values in gathered.items()}

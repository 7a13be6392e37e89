"""The rows of hash_set, version and catalogue: what a set is, apart from what it lists.

Functions over an open transaction; every change of force bumps the catalogue in the same transaction.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from hashsets import hashtypes
from hashsets.errors import NoSuchSet, SetExists, UsageError
from hashsets.limits import MAX_SET_NAME_LETTERS, is_code, is_set_name
from hashsets.sqlite import Connection
from hashsets.types import EDITS, Bounds, FrameShares, HashSet, Mode, Role, Rule, Version

_COLUMNS = "uid, name, source, role, mode, enabled, rule, rule_revision, version, entries, bounds"


@dataclass(frozen=True, slots=True)
class SetRow:
    """A set and what only the store needs of it."""

    id: int
    hash_set: HashSet
    checkpoint: bytes | None
    refreshed_day: str | None
    purged_version: int
    staging_token: bytes | None
    staging_first_id: int | None


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a set lists, named so that two that differ never share a name: `token` was drawn with the version.

    Version 0, which lists nothing, has no token.
    """

    uid: bytes
    version: int
    token: bytes

    def to_bytes(self) -> bytes:
        """At most 40 bytes, for the state of an index."""
        return self.uid + self.version.to_bytes(8) + self.token

    @classmethod
    def of_bytes(cls, raw: bytes) -> Stamp | None:
        """The stamp that `to_bytes` gave these bytes of; None for any other."""
        return cls(raw[:16], int.from_bytes(raw[16:24]), raw[24:]) if len(raw) == 40 else None


def token(connection: Connection, set_id: int, version: int) -> bytes:
    """The token of a version of a set; empty where the set has no such version."""
    found = connection.execute("SELECT token FROM version WHERE set_id = ? AND version = ?", (set_id, version))
    row = found.fetchone()
    return b"" if row is None else bytes(row[0])


def stamp(connection: Connection, row: SetRow) -> Stamp:
    """The stamp of a set as it stands."""
    known = row.hash_set
    return Stamp(known.uid, known.version, token(connection, row.id, known.version))


def changes_between(connection: Connection, set_id: int, from_version: int, to_version: int) -> int:
    """How many entries the versions (from, to] added, changed and withdrew, each version counted for itself."""
    counted = "SELECT TOTAL(added + changed + withdrawn) FROM version WHERE set_id = ? AND version > ? AND version <= ?"
    return int(connection.execute(counted, (set_id, from_version, to_version)).fetchone()[0])


def bump_catalogue(connection: Connection) -> None:
    """Say that something is in force that was not."""
    connection.execute("UPDATE catalogue SET number = number + 1")


def catalogue(connection: Connection) -> int:
    """The number of the latest change of force."""
    return int(connection.execute("SELECT number FROM catalogue").fetchone()[0])


def create(connection: Connection, name: str, source: str, role: Role, mode: Mode, rule: Rule) -> None:
    """Insert a set with a fresh uid. Raises SetExists, UsageError."""
    check_name(name)
    if connection.execute("SELECT 1 FROM hash_set WHERE name = ?", (name,)).fetchone():
        raise SetExists("a hash set of that name exists already: choose another name, or remove it first")
    values = (os.urandom(16), name, source, role.value, mode.value, 1, rule_json(rule), 1, 0, 0, None)
    connection.execute(f"INSERT INTO hash_set ({_COLUMNS}) VALUES ({','.join('?' * len(values))})", values)
    bump_catalogue(connection)


def check_name(name: str) -> None:
    """Refuse names that could not be typed, printed on one line or told apart."""
    if not is_set_name(name):
        raise UsageError(
            f"a hash set's name is 1 to {MAX_SET_NAME_LETTERS} printable characters, with no blank at its ends"
        )


def read(connection: Connection, name: str) -> SetRow:
    """The set of that name. Raises NoSuchSet."""
    return _one(connection, "name = ?", name)


def read_by_uid(connection: Connection, uid: bytes) -> SetRow:
    """The set of that uid. Raises NoSuchSet."""
    return _one(connection, "uid = ?", uid)


def read_all(connection: Connection) -> list[SetRow]:
    """Every set, by name."""
    return [_row(row) for row in connection.execute(f"{_SELECT} ORDER BY name")]


_SELECT = f"""SELECT id, checkpoint, refreshed, purged_version, staging_token, staging_first_id, {_COLUMNS}
              FROM hash_set"""


def _one(connection: Connection, where: str, value: str | bytes) -> SetRow:
    row = connection.execute(f"{_SELECT} WHERE {where}", (value,)).fetchone()
    if row is None:
        raise NoSuchSet("no hash set of that name: `hashward hashset list` shows them")
    return _row(row)


def _row(row: tuple[Any, ...]) -> SetRow:
    uid, name, source, role, mode, enabled, rule, rule_revision, version, entries, bounds = row[6:]
    hash_set = HashSet(
        uid, name, source, Role(role), Mode(mode), bool(enabled), rule_of_json(rule), rule_revision, version, entries,
        Bounds() if bounds is None else Bounds(**json.loads(bounds)),
    )  # fmt: skip
    return SetRow(row[0], hash_set, *row[1:6])


def update(connection: Connection, name: str, column: str, value: object, *, revises_rule: bool) -> None:
    """Change one column of a set; a value that is there already changes nothing and bumps nothing."""
    assert column in ("rule", "role", "mode", "enabled", "bounds")
    read(connection, name)
    changed = connection.execute(
        f"""UPDATE hash_set SET {column} = :value, rule_revision = rule_revision + :revises
            WHERE name = :name AND {column} IS NOT :value""",
        {"value": value, "revises": int(revises_rule), "name": name},
    )
    if changed.rowcount:
        bump_catalogue(connection)


def remove(connection: Connection, name: str) -> None:
    """Delete a set and note it among the removed; its entries are swept later."""
    row = read(connection, name)
    listed = row.hash_set.version > 0
    connection.execute("INSERT INTO removed_set VALUES (?, ?, ?, 1)", (row.hash_set.uid, row.id, listed))
    connection.execute("DELETE FROM version WHERE set_id = ?", (row.id,))
    connection.execute("DELETE FROM hash_set WHERE id = ?", (row.id,))
    bump_catalogue(connection)


def history(connection: Connection, set_id: int) -> list[Version]:
    """The committed deltas of a set, oldest first."""
    rows = connection.execute(
        """SELECT version, day, added, changed, withdrawn, complete, checkpoint, rollback_to
           FROM version WHERE set_id = ? ORDER BY version""",
        (set_id,),
    )
    return [
        Version(version, day, added, changed, withdrawn, bool(complete), checkpoint, rollback_to)
        for version, day, added, changed, withdrawn, complete, checkpoint, rollback_to in rows
    ]


def check_rule(rule: Rule) -> None:
    """Refuse a rule no matcher could follow. Raises UsageError."""
    for name, radius_bits in rule.radius_bits.items():
        hash_type = hashtypes.get(name)
        if hash_type.comparison == "exact" or not hash_type.matchable or hash_type.name != name:
            raise UsageError("a radius can be set for " + ", ".join(_near_names()))
        # At half the bits any two values are as good as near. What a plug-in's distance means, it alone knows.
        most = hash_type.bits // 2 - 1 if hash_type.comparison == "hamming" else hash_type.most_radius
        if not 0 <= radius_bits <= most:
            raise UsageError(f"a radius for {name} is 0 to {most}")
    for name, floor in rule.quality_floor.items():
        if not hashtypes.get(name).has_quality or hashtypes.get(name).name != name:
            raise UsageError("a quality floor can be set only for types that have a quality: pdq")
        if not 0 <= floor <= 100:
            raise UsageError("a quality floor is 0 to 100")
    if any(hashtypes.find(name) is None or not hashtypes.get(name).matchable for name in rule.hash_types):
        raise UsageError("the types to compare are among " + ", ".join(_matchable_names()))
    if not 1 <= rule.agreeing <= len(hashtypes.names()):
        raise UsageError("how many hash types must agree is a whole number from 1 on")
    if any(not is_code(code) for code in rule.codes):
        raise UsageError("a classification to match is a code, or a scheme, ':' and a code")
    if not rule.edits <= set(EDITS):
        raise UsageError("an edit to undo is one of " + ", ".join(EDITS))
    shares = rule.frame_shares
    if not (0 <= shares.query <= 1 and 0 <= shares.listed <= 1):
        raise UsageError("a share of frames is 0 to 1")


def _near_names() -> list[str]:
    return [name for name in hashtypes.names() if hashtypes.get(name).comparison != "exact"]


def _matchable_names() -> list[str]:
    return [name for name in hashtypes.names() if hashtypes.get(name).matchable]


def bounds_json(bounds: Bounds) -> str:
    """The stored form of bounds. Raises UsageError for what bounds nothing."""
    if bounds.matches < 0 or not (0 <= bounds.share <= 1 and 0 <= bounds.shrink <= 1 and bounds.growth >= 0):
        raise UsageError("a bound is a number of matches, a share from 0 to 1, or for growth a factor from 0 on")
    return json.dumps(asdict(bounds), sort_keys=True)


def rule_json(rule: Rule) -> str:
    """The stored form of a rule: equal rules have equal text."""
    check_rule(rule)
    shares = {"query": float(rule.frame_shares.query), "listed": float(rule.frame_shares.listed)}
    form: dict[str, object] = {
        "radius_bits": rule.radius_bits, "quality_floor": rule.quality_floor, "frame_shares": shares
    }  # fmt: skip
    if rule.edits:  # left out where there are none: the text of rules that were stored before stays equal
        form["edits"] = sorted(rule.edits)
    if rule.hash_types:
        form["hash_types"] = sorted(rule.hash_types)
    if rule.codes:
        form["codes"] = sorted(rule.codes)
    if rule.agreeing != 1:
        form["agreeing"] = rule.agreeing
    return json.dumps(form, sort_keys=True)


def rule_of_json(text: str) -> Rule:
    """The rule a stored form says."""
    form = json.loads(text)
    shares = FrameShares(**form["frame_shares"])
    edits, hash_types, codes = (frozenset(form.get(key, ())) for key in ("edits", "hash_types", "codes"))
    return Rule(form["radius_bits"], form["quality_floor"], shares, edits, hash_types, codes, form.get("agreeing", 1))

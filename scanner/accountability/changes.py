"""What has changed since the audit log was last told: hash sets, configuration, software. Runs where any command begins
and ends, so that a change which a kill cut off from its record is noticed by whoever comes next.

Rules
- What was told last stands in the ledger, written in one transaction with the line that is owed.
- Of the configuration the log names the settings that changed and a salted digest of each section: no value, as some
  are addresses, names or paths. Retention alone is told with its values.
- A version of a set is told with the salted root hash of what it lists.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from hashsets.errors import HashsetsError
from hashsets.sqlite import Database
from hashsets.store import Store
from hashsets.types import HashSet
from scanner.accountability import chain
from scanner.accountability.audit import Event, due
from scanner.clock import Clock
from scanner.config import Config
from scanner.ledger import speech

_SOFTWARE: Final = "software"
_CONFIG: Final = "config"
_SET: Final = "set:"
_TOLD_WITH_VALUES: Final = {"retain"}
_SEVERAL: Final = {"sinks", "sources", "listeners"}
_MOST_LETTERS: Final = 4000  # of a rule or of names: what is longer is told by its digest

Told = dict[str, Any]


def note(db: Database, clock: Clock, config: Config | None, store: Store | None, software: str) -> int:
    """Owe the audit log a line for all that changed; how many. Without a store it looks at no hash set.

    Without a configuration neither at it nor at the software: a process says once with what it began. Were it to repeat
    that, one begun before a change would have it taken back on record.
    """
    salt = _salt(db)
    roots = {} if store is None else _new_roots(db, store, salt)
    wanted: Told = {} if config is None else {_SOFTWARE: {"version": software}, _CONFIG: _digests(config, salt)}
    sets = (
        None
        if store is None
        else {_SET + each.uid.hex(): _set_told(db, each, roots, salt) for each in store.hash_sets()}
    )
    if not _differences(_told(db), wanted, sets):
        return 0
    with db.write():
        before, at_ns = _told(db), clock.now_ns()
        changed = _differences(before, wanted, sets)
        for subject in changed:
            now = {**wanted, **(sets or {})}.get(subject)
            for event, particulars in _lines(subject, before.get(subject), now, config, salt):
                due(db, event, particulars, at_ns=at_ns)
            _tell(db, subject, now)
    return len(changed)


def _differences(before: Told, wanted: Told, sets: Told | None) -> list[str]:
    """The subjects that are not as they were told; sets only where they were looked at."""
    now = {**wanted, **(sets or {})}
    gone = [] if sets is None else [each for each in before if each.startswith(_SET) and each not in sets]
    return [subject for subject, value in now.items() if before.get(subject) != value] + gone


def _lines(subject: str, before: Any, now: Any, config: Config | None, salt: bytes) -> Iterator[tuple[Event, Told]]:
    if subject == _SOFTWARE:
        yield Event.SOFTWARE_CHANGED, {"from": None if before is None else before["version"], "to": now["version"]}
    elif subject == _CONFIG and config is not None:
        told = _digests(Config.defaults(), salt) if before is None else before
        yield from ((Event.CONFIG_CHANGED, said) for said in _sections(told, now, config, salt))
    elif now is None:
        yield Event.SET_REMOVED, {"set": before["set"], "uid": subject.removeprefix(_SET), "version": before["version"]}
    else:
        names = [name for name in now if before is not None and before.get(name) != now[name]]
        what = "created" if before is None else "changed"
        yield Event.SET_CHANGED, {**now, "uid": subject.removeprefix(_SET), "what": what, "changed": " ".join(names)}


# -- what is remembered ------------------------------------------------------------------------------------------------


def _told(db: Database) -> Told:
    return {subject: json.loads(told) for subject, told in db.execute("SELECT subject, told FROM audit_told")}


def _tell(db: Database, subject: str, now: Any) -> None:
    if now is None:
        db.execute("DELETE FROM audit_told WHERE subject = ?", (subject,))
    else:
        said = chain.canonical(now).decode()
        db.execute("INSERT OR REPLACE INTO audit_told (subject, told) VALUES (?, ?)", (subject, said))


def _salt(db: Database) -> bytes:
    row = db.execute("SELECT salt FROM root_salt").fetchone()
    if row is None:
        with db.write():
            db.execute("INSERT OR IGNORE INTO root_salt (id, salt) VALUES (1, ?)", (secrets.token_bytes(32),))
        row = db.execute("SELECT salt FROM root_salt").fetchone()
    return bytes(row[0])


# -- hash sets ---------------------------------------------------------------------------------------------------------


def root_of(db: Database, set_uid: bytes, version: int) -> str | None:
    """The salted root hash of what a set listed at a version; None where it was not noted."""
    row = db.execute("SELECT root FROM set_root WHERE set_uid = ? AND version = ?", (set_uid, version)).fetchone()
    return None if row is None else str(row[0])


def _new_roots(db: Database, store: Store, salt: bytes) -> dict[tuple[bytes, int], str]:
    """Root hashes of the present versions; those that were not known are computed, some seconds for millions."""
    roots: dict[tuple[bytes, int], str] = {}
    for each in store.hash_sets():
        known = root_of(db, each.uid, each.version)
        try:
            root = known or store.root_hash(store.stamp(each.uid), salt)
        except HashsetsError:  # it has moved on meanwhile, and is told with what it moved to
            continue
        roots[each.uid, each.version] = root
        if known is None:
            with db.write():
                row = (each.uid, each.version, root)
                db.execute("INSERT OR IGNORE INTO set_root (set_uid, version, root) VALUES (?, ?, ?)", row)
    return roots


def _sets_told(db: Database, store: Store, salt: bytes) -> Told:
    roots = _new_roots(db, store, salt)
    return {_SET + each.uid.hex(): _set_told(db, each, roots, salt) for each in store.hash_sets()}


def _set_told(db: Database, each: HashSet, roots: Mapping[tuple[bytes, int], str], salt: bytes) -> Told:
    """How a set stands: what decides over what it matches and what is said of it."""
    muted = sorted(mute.ref for mute in speech.mutes(db, each.uid))
    return {
        "set": each.name,
        "source": each.source,
        "role": each.role.value,
        "mode": each.mode.value,
        "enabled": each.enabled,
        "rule": _bounded(_plain(each.rule), salt),
        "rule_revision": each.rule_revision,
        "bounds": _bounded(_plain(each.bounds), salt),
        "version": each.version,
        "entries": each.entries,
        "root": roots.get((each.uid, each.version)),
        "reported_up_to": speech.version(db, each.uid),
        "muted": f"{len(muted)} {_digest(muted, salt)}" if muted else "0",
    }


# -- configuration -----------------------------------------------------------------------------------------------------


def _digests(config: Config, salt: bytes) -> Told:
    """A digest of every setting, by section and name."""
    return {
        section: {name: _digest([section, name, value], salt) for name, value in settings.items()}
        for section, settings in _settings("", config)
    }


def _settings(section: str, table: Any) -> Iterator[tuple[str, Told]]:
    """Every section of the configuration with its settings; those of which there are several by their name."""
    own: Told = {}
    for each in dataclasses.fields(table):
        value, inner = getattr(table, each.name), f"{section}.{each.name}".lstrip(".")
        if each.name in _SEVERAL:
            for number, item in enumerate(value):
                name = getattr(item, "name", None) or getattr(item, "hash_set", None) or number
                yield from _settings(f"{inner.removesuffix('s')}.{name}", item)
        elif dataclasses.is_dataclass(value) and not section:
            yield from _settings(inner, value)
        else:
            own[each.name] = _plain(value)
    if section:
        yield section, own


def _sections(before: Told, now: Told, config: Config, salt: bytes) -> Iterator[Told]:
    values = dict(_settings("", config))
    for section in sorted(before.keys() | now.keys()):
        old, new = before.get(section), now.get(section)
        if old == new:
            continue
        what = "added" if old is None else "removed" if new is None else "changed"
        names = [] if old is None or new is None else [name for name in new if old.get(name) != new[name]]
        said = {"section": section, "what": what, "settings": _shortened(" ".join(names), salt)}
        if section in _TOLD_WITH_VALUES:
            said |= {f"value of {name}": _bounded(value, salt) for name, value in values.get(section, {}).items()}
        yield {**said, "digest": _digest(new, salt)}


# -- values ------------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """A value as JSON has it, the same in every process."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value), key=json.dumps)
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else str(value)


def _digest(value: Any, salt: bytes) -> str:
    return hmac.new(salt, json.dumps(value, sort_keys=True).encode(), hashlib.sha256).hexdigest()[:16]


def _bounded(value: Any, salt: bytes) -> str:
    return _shortened(json.dumps(value, sort_keys=True), salt)


def _shortened(text: str, salt: bytes) -> str:
    return text if len(text) <= _MOST_LETTERS else f"digest {_digest(text, salt)}"

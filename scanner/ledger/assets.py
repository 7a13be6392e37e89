"""Roots and the places in them: what is where, what went missing, what moved. Runs inside the caller's transaction.

Rules (DESIGN, "The join, exactly")
- Missing: the folder was listed without error in a completed walk of the same root. Gone: missing in two completed
  walks at least a day apart. Vanished and appeared since the last completed walk with the same content: moved.
- A suspect root calls nothing missing until it is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass

from hashsets.sqlite import Database
from scanner.errors import NoSuchRoot
from scanner.opening import FileStat, RootIdentity
from scanner.types import Reason

UPLOADS = 0
# Begins the keys of uploads that came without a ref: one place for each content, found again by its digest alone.
NAMELESS = b"\0"
DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Root:
    """A configured storage location. `suspect` says why nothing there may be called missing; None: it is trusted."""

    id: int
    name: str
    path: bytes
    identity: RootIdentity | None
    suspect: str | None
    accept_loss: bool
    walks: int
    completed_walk: int
    completed_at: int | None


@dataclass(frozen=True, slots=True)
class Asset:
    """A place as the ledger knows it. `stat` is None until it has been read, or when it cannot be trusted.

    `looks` is how often the content it holds was looked at, where another look may find more; 0 where none is owed.
    """

    id: int
    content_seq: int | None
    reason: Reason | None
    stat: FileStat | None
    missing: bool
    gone: bool
    looks: int


@dataclass(frozen=True, slots=True)
class Address:
    """A place by its key as it is written, and what opens that where it cannot be read: made for a new place alone."""

    root_id: int
    key: bytes
    box: Callable[[], bytes | None]


def upload_key(ref: bytes | None, sha256: bytes) -> bytes:
    """The key of an upload: its ref, which does not begin as those do that have none."""
    assert ref is None or not ref.startswith(NAMELESS)
    return NAMELESS + sha256 if ref is None else ref


_ROOT = (
    "SELECT id, name, path, dev, ino, suspect, accept_loss, walks, completed_walk, completed_at FROM root"
    " WHERE id > 0 AND name IS NOT NULL"
)


def roots(db: Database) -> list[Root]:
    """All roots, by name."""
    return [_root(row) for row in db.execute(f"{_ROOT} ORDER BY name")]


def root(db: Database, name: str) -> Root:
    """The root of that name. Raises NoSuchRoot."""
    row = db.execute(f"{_ROOT} AND name = ?", (name,)).fetchone()
    if row is None:
        raise NoSuchRoot("There is no root of that name: `hashward root list` shows them.")
    return _root(row)


def _root(row: tuple[object, ...]) -> Root:
    id_, name, path, dev, ino, suspect, accept_loss, walks, completed_walk, completed_at = row
    identity = None if dev is None else RootIdentity(dev, ino)  # type: ignore[arg-type]
    return Root(id_, name, path, identity, suspect, bool(accept_loss), walks, completed_walk, completed_at)  # type: ignore[arg-type]


def add_root(db: Database, name: str, path: bytes) -> Root:
    """Add a root; name and path are known to be free."""
    db.execute("INSERT INTO root (name, path) VALUES (?, ?)", (name, path))
    return root(db, name)


def adopt(db: Database, parent: Root, child: Root, prefix: bytes) -> None:
    """Take the assets of a root that lies inside a new one into it, ids and reports and all; the inner root goes.

    `prefix` is what their keys begin with from now on.
    """
    db.execute(
        "UPDATE asset SET root_id = ?, key = CAST(? || key AS BLOB), born_walk = 0 WHERE root_id = ?",
        (parent.id, prefix, child.id),
    )
    db.execute("DELETE FROM root WHERE id = ?", (child.id,))


def move_root(db: Database, root_id: int, path: bytes) -> None:
    """The root lies elsewhere now; its identity is learned anew."""
    db.execute("UPDATE root SET path = ?, dev = NULL, ino = NULL WHERE id = ?", (path, root_id))


def remove_root(db: Database, root_id: int) -> None:
    """Forget a root's name and path; its assets are gone."""
    db.execute("UPDATE asset SET gone = 1 WHERE root_id = ?", (root_id,))
    db.execute("UPDATE root SET name = NULL, path = NULL WHERE id = ?", (root_id,))


def content_of(db: Database, asset_id: int) -> int | None:
    """The content an asset holds."""
    row = db.execute("SELECT content_seq FROM asset WHERE id = ?", (asset_id,)).fetchone()
    return None if row is None else row[0]


def begin_walk(db: Database, root_id: int) -> int:
    """Start a walk of a root and return its number."""
    db.execute("UPDATE root SET walks = walks + 1 WHERE id = ?", (root_id,))
    return int(db.execute("SELECT walks FROM root WHERE id = ?", (root_id,)).fetchone()[0])


def suspect(db: Database, root_id: int, why: str) -> None:
    """Hold a root as suspect: it closes nothing until accepted."""
    db.execute("UPDATE root SET suspect = ? WHERE id = ?", (why, root_id))


def accept(db: Database, root_id: int) -> None:
    """Take a suspect root as it is: its identity is learned anew and its losses count from the next walk on."""
    db.execute("UPDATE root SET suspect = NULL, accept_loss = 1, dev = NULL, ino = NULL WHERE id = ?", (root_id,))


def complete_walk(db: Database, root_id: int, walk: int, identity: RootIdentity, now_ns: int) -> None:
    """Note that a walk came to its end and what it found missing has been written."""
    db.execute(
        "UPDATE root SET completed_walk = max(completed_walk, ?), completed_at = ?, dev = ?, ino = ?,"
        " accept_loss = 0, suspect = NULL WHERE id = ?",
        (walk, now_ns, identity.dev, identity.ino, root_id),
    )


_RETRYABLE = ", ".join(f"'{reason.value}'" for reason in Reason if reason.retryable)
_ASSET = (
    "SELECT a.id, a.content_seq, a.reason, a.dev, a.ino, a.size_bytes, a.mtime_ns, a.ctime_ns, a.settled, a.missing_at,"
    f" a.gone, iif(c.reason IN ({_RETRYABLE}), c.attempts, 0) FROM asset a LEFT JOIN content c ON c.seq = a.content_seq"
)


def find(db: Database, root_id: int, key: bytes) -> Asset | None:
    """The asset at a key, gone ones too."""
    row = db.execute(f"{_ASSET} WHERE a.root_id = ? AND a.key = ?", (root_id, key)).fetchone()
    if row is None:
        return None
    id_, seq, reason, dev, ino, size, mtime, ctime, settled, missing_at, gone, looks = row
    stat = FileStat(dev, ino, size, mtime, ctime) if settled else None
    return Asset(id_, seq, None if reason is None else Reason(reason), stat, missing_at is not None, bool(gone), looks)


def put(
    db: Database,
    at: Address,
    *,
    walk: int,
    content_seq: int | None = None,
    stat: FileStat | None = None,
    settled: bool = False,
    reason: Reason | None = None,
    is_new: bool = False,
) -> tuple[int, int | None]:
    """Write what was found at a key; (asset id, the content it held before).

    `settled` says that `stat` may be trusted to show a later change. With a `reason` the place could not be read: what
    it held before stays on record, with the device it lay on, and it is read again next time. A place that was gone
    holds nothing until it has been read. `is_new`: the place is likely to be.
    """
    columns = (None,) * 5 if stat is None else (stat.dev, stat.ino, stat.size_bytes, stat.mtime_ns, stat.ctime_ns)
    why = None if reason is None else reason.value
    old = None if is_new else find(db, at.root_id, at.key)
    if old is None:
        cursor = db.execute(
            "INSERT INTO asset (root_id, key, box, content_seq, reason, dev, ino, size_bytes, mtime_ns, ctime_ns,"
            " settled, born_walk) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (root_id, key) DO NOTHING",
            (at.root_id, at.key, at.box(), content_seq, why, *columns, int(settled), walk),
        )
        if cursor.rowcount:
            assert cursor.lastrowid is not None
            return cursor.lastrowid, None
        old = find(db, at.root_id, at.key)
        assert old is not None
    if reason is not None:
        db.execute(
            "UPDATE asset SET content_seq = iif(gone, NULL, content_seq), reason = ?, settled = 0, missing_at = NULL,"
            " gone = 0 WHERE id = ?",
            (why, old.id),
        )
    else:
        db.execute(
            "UPDATE asset SET content_seq = ?, reason = NULL, dev = ?, ino = ?, size_bytes = ?, mtime_ns = ?,"
            " ctime_ns = ?, settled = ?, missing_at = NULL, gone = 0 WHERE id = ?",
            (content_seq, *columns, int(settled), old.id),
        )
    return old.id, None if old.gone else old.content_seq


def back(db: Database, ids: Iterable[int]) -> None:
    """Assets that were missing are there again."""
    db.connection.executemany("UPDATE asset SET missing_at = NULL WHERE id = ? AND NOT gone", [(i,) for i in ids])


def present(db: Database, root_id: int) -> Iterator[tuple[int, bytes, int | None, int | None, bool]]:
    """(id, key, device it was last seen on, content, missing?) of every asset of a root that is not gone, by key."""
    columns = "id, key, dev, content_seq, missing_at"
    rows = db.execute(f"SELECT {columns} FROM asset WHERE root_id = ? AND NOT gone ORDER BY key", (root_id,))
    return ((id_, key, dev, seq, missing_at is not None) for id_, key, dev, seq, missing_at in rows)


# An appeared asset of which a sealed report speaks stays as it is: the report cannot be taken back.
_APPEARED = """
FROM asset n WHERE n.content_seq = ? AND n.root_id = ? AND n.born_walk > ? AND NOT n.gone AND n.missing_at IS NULL
AND NOT EXISTS (SELECT 1 FROM report r WHERE r.asset_id = n.id AND r.report_id IS NOT NULL)
"""


def appeared(db: Database, root: Root, seq: int, lost: Container[int]) -> Iterator[int]:
    """The assets, by key, that appeared since the last completed walk with a content, and are not lost themselves."""
    rows = db.execute(f"SELECT n.id {_APPEARED} ORDER BY n.key", (seq, root.id, root.completed_walk))
    return (asset_id for (asset_id,) in rows if asset_id not in lost)


def move(db: Database, root: Root, vanished: int, lost: Container[int]) -> bool:
    """Take a vanished asset to where its content appeared; False where it appeared nowhere.

    The vanished one keeps its id, and with it what was reported of it, and takes the new key; the row of the appeared
    one goes. It counts as old from then on: a second one that vanished cannot have moved to the same place.
    """
    seq = content_of(db, vanished)
    new = None if seq is None else next(appeared(db, root, seq, lost), None)
    if new is None:
        return False
    row = db.execute(
        "SELECT key, box, dev, ino, size_bytes, mtime_ns, ctime_ns, settled FROM asset WHERE id = ?", (new,)
    ).fetchone()
    # None of them is sealed (see _APPEARED). What only the appeared one was to say is still to be said.
    db.execute(
        "UPDATE report SET asset_id = ?1 WHERE asset_id = ?2 AND NOT EXISTS (SELECT 1 FROM report o"
        " WHERE o.asset_id = ?1 AND o.set_uid = report.set_uid AND o.entry_key = report.entry_key)",
        (vanished, new),
    )
    db.execute("DELETE FROM report WHERE asset_id = ?", (new,))
    db.execute("DELETE FROM asset WHERE id = ?", (new,))
    db.execute(
        "UPDATE asset SET key = ?, box = ?, dev = ?, ino = ?, size_bytes = ?, mtime_ns = ?, ctime_ns = ?, settled = ?,"
        " born_walk = 0, reason = NULL, missing_at = NULL WHERE id = ?",
        (*row, vanished),
    )
    return True


def miss(db: Database, ids: Iterable[int], now_ns: int) -> None:
    """Mark assets missing, or gone where they have been missing for a day or more."""
    db.connection.executemany(
        "UPDATE asset SET gone = (missing_at IS NOT NULL AND missing_at <= ?), missing_at = coalesce(missing_at, ?)"
        " WHERE id = ?",
        [(now_ns - DAY_NS, now_ns, i) for i in ids],
    )


def let_go(db: Database, root_id: int, key: bytes) -> bool:
    """Mark one asset gone at once (an upload's own delete call); False when there is none."""
    return (
        db.execute("UPDATE asset SET gone = 1 WHERE root_id = ? AND key = ? AND NOT gone", (root_id, key)).rowcount > 0
    )


def of_content(db: Database, seq: int) -> list[int]:
    """The ids of the assets that hold a content and are not gone."""
    return [i for (i,) in db.execute("SELECT id FROM asset WHERE content_seq = ? AND NOT gone ORDER BY id", (seq,))]

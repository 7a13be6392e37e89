"""What is counted as flagged and as looked at: each once, in step with what may be reported, whatever undoes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hashsets.types import Mode, Role, Rule
from scanner.ledger import flags, volumes
from scanner.ledger.outbox import Occasion
from scanner.ledger.resolutions import Resolution
from scanner.ledger.speech import Mute
from scanner.ledger.uploads import Arrival
from scanner.reports import Cause
from scanner.types import WHOLE as LOOKED_WHOLE
from scanner.types import Digests, Fingerprint, MediaKind, Trigger
from tests.scanner.fakes import Site, entry_of, fake_media, pdq, sha256, sha256_entry

PICTURE = fake_media(pdq(1))
EXACT = sha256_entry(PICTURE, "exact")
NEAR = entry_of(pdq(1, 3), ref="near")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A home of its own."""
    with Site(tmp_path / "home") as site:
        (tmp_path / "media").mkdir()
        yield site


def raised(site: Site) -> list[tuple[str, str, str | None, str | None]]:
    """(set, hash type, ended, cause) of every flag, in order."""
    rows = site.ledger.db.execute(
        "SELECT s.name, f.hash_type, f.ended, f.cause FROM flag f JOIN met_set s USING (set_uid) ORDER BY f.id"
    )
    return rows.fetchall()


def test_a_content_is_flagged_once_by_a_set_and_hash_type(site: Site) -> None:
    """Two entries of one type, another place and another look raise nothing new; another type and another set do."""
    site.list_entries("A", EXACT, NEAR, entry_of(pdq(1, 5), ref="near too"))
    site.list_entries("B", NEAR)
    site.upload(PICTURE, b"1")
    site.upload(PICTURE, b"2")
    site.upload(PICTURE, None)
    site.rescan()

    assert [("A", "sha256", None, None), ("A", "pdq", None, None), ("B", "pdq", None, None)] == sorted(
        raised(site), key=lambda row: (row[0], row[1] == "pdq")
    )


def test_what_may_not_be_reported_flags_nothing(site: Site) -> None:
    """A set in shadow, a canary set and a known-good set raise no flag; one that is made active does."""
    for name, role in (("canary", Role.CANARY), ("good", Role.KNOWN_GOOD), ("shadow", Role.ALERT)):
        site.store.create(name, role=role, mode=Mode.SHADOW if name == "shadow" else Mode.ACTIVE)
        site.list_entries(name, NEAR)
    site.upload(PICTURE, b"1")

    assert [] == raised(site)

    site.store.set_mode("shadow", Mode.ACTIVE)
    site.rescan()

    assert [("shadow", "pdq", None, None)] == raised(site)


def test_a_withdrawn_entry_ends_only_what_it_alone_flagged(site: Site) -> None:
    """With the exact entry its flag ends, with the last near one the other; listed again, it is flagged again."""
    near_too = entry_of(pdq(1, 5), ref="near too")
    site.list_entries("A", EXACT, NEAR, near_too)
    site.upload(PICTURE, b"1")
    today = site.day
    site.list_entries("A", removed=[EXACT.key, NEAR.key])
    site.rescan()

    assert {("A", "sha256", today, "entry"), ("A", "pdq", None, None)} == set(raised(site))

    site.list_entries("A", sha256_entry(b"another"), removed=[near_too.key])
    site.rescan()
    site.list_entries("A", EXACT)
    site.rescan()

    assert [(today, "entry"), (today, "entry"), (None, None)] == [row[2:] for row in raised(site)]


@pytest.mark.parametrize("how", ["removed", "muted", "known_good", "resolved", "rule"])
def test_every_way_of_undoing_ends_a_flag_with_its_cause(site: Site, how: str) -> None:
    """Set, mute, known-good list, resolution and rule each end the flag and say why."""
    site.list_entries("A", EXACT if how == "resolved" else NEAR)
    site.upload(PICTURE, b"1")
    uid = site.hash_set("A").uid
    occasion = Occasion(Trigger.RESCAN, site.day, Cause.RULE)
    if how == "removed":
        site.store.remove("A")
        site.ledger.withdraw_set(uid, occasion)
    elif how == "muted":
        site.ledger.probation.mute(uid, Mute("near", site.day, "why", site.day), occasion)
    elif how == "rule":
        site.store.set_rule("A", Rule(radius_bits={"pdq": 0}))
    else:
        site.store.create("good", role=Role.KNOWN_GOOD, mode=Mode.ACTIVE)
        site.list_entries("good", sha256_entry(PICTURE))
    site.rescan()
    if how == "resolved":
        assert [None] == [row[3] for row in raised(site)]
        site.ledger.resolve(uid, EXACT.key, Resolution.KNOWN_GOOD, occasion)

    cause = {"removed": "set", "muted": "rule", "rule": "rule"}.get(how, "known_good")
    assert [(site.day, cause)] == [row[2:] for row in raised(site)]


def test_a_held_version_flags_when_it_is_approved_and_what_it_withdrew_stands_until_then(site: Site) -> None:
    """What waits to be said waits to be counted."""
    others = [fake_media(pdq(n)) for n in range(2, 12)]
    site.list_entries("A", NEAR)
    site.upload(PICTURE, b"1")
    for number, other in enumerate(others):
        site.upload(other, b"other %d" % number)
    site.list_entries("A", *(sha256_entry(other) for other in others), removed=[NEAR.key])
    site.rescan()

    assert [("A", "pdq", None, None)] == raised(site)

    site.ledger.probation.approve(site.hash_set("A"), 2, Occasion(Trigger.RESCAN, site.day, Cause.RULE))

    assert [("entry", 1), (None, 10)] == [
        (cause, sum(row[3] == cause for row in raised(site))) for cause in ("entry", None)
    ]


def test_reviews_count_for_the_latest_flags(site: Site) -> None:
    """A review of a content is noted for its flags, of one set or of all; of what was never flagged for none."""
    site.list_entries("A", EXACT, NEAR)
    site.list_entries("B", NEAR)
    seq = site.upload(PICTURE, b"1").outcome.content_seq
    with site.ledger.db.write():
        one = flags.reviewed(site.ledger.db, seq, "confirmed", site.day, set_uid=site.hash_set("B").uid)
        every = flags.reviewed(site.ledger.db, seq, "not_confirmed", site.day, upon_appeal=True)
        none = flags.reviewed(site.ledger.db, seq + 1, "undecided", site.day)

    assert (1, 3, 0) == (one, every, none)
    assert [("confirmed", 0)] + 3 * [("not_confirmed", 1)] == site.ledger.db.execute(
        "SELECT outcome, upon_appeal FROM flag_review ORDER BY id"
    ).fetchall()


def counted(site: Site) -> list[tuple[object, ...]]:
    """Lane, region, media, extent, reason, items, contents, bytes of every row."""
    rows = site.ledger.db.execute(
        "SELECT lane, region, media, extent, reason, items, contents, bytes FROM volume ORDER BY 1, 2, 3, 4, 5"
    )
    return rows.fetchall()


def test_an_item_is_counted_when_it_comes_and_never_again(site: Site, tmp_path: Path) -> None:
    """A walk over what stands, another look, and an upload under a ref that held it add nothing; a new place does."""
    film = fake_media(pdq(5), pdq(6), kind=MediaKind.VIDEO, sees=1)
    for name, content in (("a", PICTURE), ("b", PICTURE), ("c", film), ("d", b"text")):
        (tmp_path / "media" / name).write_bytes(content)
    for _ in range(2):
        site.scan(tmp_path / "media")
    for ref in (b"1", b"1", b"2", None):
        site.upload(PICTURE, ref)

    size = len(PICTURE)
    assert [
        ("scan", "", "image", "whole", "", 2, 1, 2 * size),
        ("scan", "", "other", "whole", "", 1, 1, 4),
        ("scan", "", "video", "partial", "timeout", 1, 1, len(film)),
        ("upload", "", "image", "whole", "", 2, 0, 2 * size),
    ] == counted(site)


def test_an_upload_without_a_ref_is_counted_once(site: Site) -> None:
    """Nobody knows whether it is held, so it counts while its content is new."""
    for _ in range(3):
        site.upload(PICTURE, None)

    assert [("upload", "", "image", "whole", "", 1, 1, len(PICTURE))] == counted(site)


def test_regions_are_those_of_root_and_listener(site: Site, tmp_path: Path) -> None:
    """What is looked at and flagged is counted where it was met first; a label taken back counts no more."""
    (tmp_path / "media" / "a").write_bytes(PICTURE)
    site.list_entries("A", NEAR, entry_of(pdq(8), ref="eight"))
    root = site.ledger.places.add_root(bytes(tmp_path / "media"))
    volumes.label_root(site.ledger.db, root.id, "EU")
    site.scan(tmp_path / "media")
    upload = fake_media(pdq(8))
    seen = Fingerprint(MediaKind.IMAGE, LOOKED_WHOLE, (pdq(8),))
    digests = Digests(bytes(16), bytes(20), sha256(upload), len(upload))
    site.ledger.uploads.accept([Arrival(b"u", digests, seen, "US")], site.day)
    site.rescan()
    volumes.label_root(site.ledger.db, root.id, None)
    (tmp_path / "media" / "b").write_bytes(b"text")
    site.scan(tmp_path / "media")

    assert [("scan", ""), ("scan", "EU"), ("upload", "US")] == [row[:2] for row in counted(site)]
    assert [("EU",), ("US",)] == site.ledger.db.execute("SELECT region FROM flag ORDER BY id").fetchall()

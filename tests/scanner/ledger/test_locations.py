"""How places are written in a sealed home: known again by the walk, opened by nobody without the key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.accountability import sealed_locations
from scanner.errors import LedgerError, UsageError
from scanner.ledger import Ledger
from scanner.ledger.assets import NAMELESS, UPLOADS
from scanner.ledger.locations import FOLDER_BYTES, Locations
from scanner.location_keys import DIGEST_BYTES, Inside, LocationKeys, OpeningKey, Sealer, WalkKey, read
from scanner.walking import folders_above
from tests.scanner.fakes import LOCATION_KEYS, OPENING_KEY, Site, fake_media, pdq

OTHER_KEYS = LocationKeys(WalkKey(bytes(32)), LOCATION_KEYS.public)
NAME = st.binary(min_size=1, max_size=40).filter(lambda name: b"/" not in name)
KEY = st.lists(NAME, min_size=1, max_size=6).map(b"/".join)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locations]:
    """The locations of an empty sealed home."""
    with Site(tmp_path_factory.mktemp("home"), sealed=True) as site:
        yield site.ledger.locations


@given(origin=st.integers(-1, 2**62), key=st.binary(max_size=5000))
def test_a_box_opens_with_its_key_alone_and_tells_little_of_how_long_it_is(origin: int, key: bytes) -> None:
    """What is padded is left out again."""
    box = Sealer(OPENING_KEY.public()).seal(Inside(origin, key))
    said = OPENING_KEY.open(box)

    assert said is not None
    assert Inside(origin, key) == read(said)
    assert 48 == len(box) % 32 + 32
    assert OpeningKey(bytes(32)).open(box) is None
    assert OPENING_KEY.open(box[:-1] + bytes([box[-1] ^ 1])) is None


@given(said=st.binary(max_size=60))
def test_what_is_no_box_opens_to_nothing(said: bytes) -> None:
    """Whoever can write the ledger can write anything there."""
    assert OPENING_KEY.open(said) is None
    assert read(said) is None or len(said) >= 12


def test_the_digests_are_these() -> None:
    """Ledgers hold them: they never change."""
    walk = WalkKey(bytes(range(32, 64)))

    assert "706809e0" == walk.id().hex()[:8]
    assert "dae21f92" == walk.below(walk.origin(1), b"a").hex()[:8]


def test_the_same_place_is_the_same_digest_and_no_other_is(written: Locations) -> None:
    """Not in another folder, nor root, nor as a ref; and the box is another each time."""
    places = [(root, key) for root in (UPLOADS, 1, 2) for key in (b"a", b"aa", b"a/a", b"b/a", b"a/a/a")]
    keys = [written.key(*place) for place in places]

    assert len(places) == len(set(keys))
    assert keys == [written.key(*place) for place in places]
    assert written.box(1, b"a") != written.box(1, b"a")


@given(root=st.integers(1, 5), key=KEY)
def test_the_folders_above_a_place_are_found_in_its_digest(written: Locations, root: int, key: bytes) -> None:
    """As `walking` names them, so that what lies in a folder that was not listed is not called missing."""
    place = written.key(root, key)

    assert [written.folder(root, above) for above in folders_above(key)] == list(written.above(place))
    assert DIGEST_BYTES + FOLDER_BYTES * key.count(b"/") == len(place)


def test_a_path_may_have_as_many_folders_as_a_system_call_takes(written: Locations) -> None:
    """Whoever names one file has it looked at however deep it lies."""
    key = b"/".join([b"a"] * 2000)

    assert DIGEST_BYTES + FOLDER_BYTES * 1999 == len(written.key(1, key))


def test_a_ref_is_sealed_and_an_upload_without_one_has_nothing_to_seal(written: Locations) -> None:
    """It is found again by its digest, which the ledger holds anyway."""
    nameless = NAMELESS + bytes(32)

    assert nameless == written.key(UPLOADS, nameless)
    assert written.box(UPLOADS, nameless) is None
    assert not written.key(UPLOADS, b"ref").startswith(NAMELESS)


def test_roots_that_take_in_others_twice_over_know_every_place_again(tmp_path: Path) -> None:
    """Nothing is read anew, and every box opens to where it now lies."""
    inner = tmp_path / "top" / "mid" / "deep" / "inner"
    inner.mkdir(parents=True)
    (inner / "sub").mkdir()
    paths = [inner / "a", inner / "sub" / "b", inner.parent / "c", inner.parents[1] / "d", inner.parents[2] / "e"]
    for number, path in enumerate(paths):
        path.write_bytes(fake_media(pdq(number)))
    with Site(tmp_path / "home", sealed=True) as site:
        for folder in (inner, tmp_path / "top" / "mid", tmp_path / "top"):
            site.ledger.places.add_root(os.fsencode(folder), may_adopt=True)
            walked = site.scan(folder)

        assert (1, 4) == (walked.scanned, walked.skipped)
        assert {os.fsencode(path) for path in paths} == set(site.places(list(walked.seen)))
        paths[1].rename(paths[1].with_name("moved"))
        again = site.scan(tmp_path / "top")
        assert (1, 0, 1) == (again.moved, again.missing, again.scanned)
        site.ledger.places.move_root(site.ledger.places.roots()[0].name, b"/elsewhere")
        ids = [asset_id for (asset_id,) in site.ledger.db.execute("SELECT id FROM asset")]
        assert b"/elsewhere/mid/deep/inner/sub/moved" in site.places(ids)


def test_a_root_that_was_not_made_leaves_nothing_at_hand(tmp_path: Path) -> None:
    """Its number is given to the next."""
    for name in ("one", "two"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "x").write_bytes(fake_media(pdq(1)))
    with Site(tmp_path / "home", sealed=True) as site:
        site.scan(tmp_path / "one" / "inner")

        def made_and_lost() -> None:
            with site.ledger.db.write():
                site.ledger.places.add_root(os.fsencode(tmp_path / "one"), may_adopt=True)
                raise LedgerError("killed")

        with pytest.raises(LedgerError):
            made_and_lost()
        walked = site.scan(tmp_path / "two")
        assert [os.fsencode(tmp_path / "two" / "inner" / "x")] == site.places(list(walked.seen))
        site.ledger.places.add_root(os.fsencode(tmp_path / "one"), may_adopt=True)
        assert 1 == site.scan(tmp_path / "one").skipped


def test_what_is_sealed_is_told_by_nobody_without_its_boxes(tmp_path: Path) -> None:
    """Neither a path nor a ref."""
    with Site(tmp_path, sealed=True) as site:
        asset_id = site.upload(b"content", b"canary-ref").asset_id
        assert asset_id is not None

        assert site.ledger.places.where(asset_id) is None
        assert b"canary-ref" == site.where(asset_id)


def test_refusals_know_sealed_refs(tmp_path: Path) -> None:
    """And forget them."""
    with Site(tmp_path, sealed=True) as site:
        refusals = site.ledger.refusals
        refusals.bring(b"canary-a", "tus", site.day)
        refusals.remember(b"canary-b", site.day)
        assert (True, False, True, False) == (
            refusals.is_of(b"canary-a", "tus"), refusals.is_of(b"canary-b", "tus"),
            refusals.holds(b"canary-b"), refusals.holds(b"canary-a"),
        )  # fmt: skip
        for table in ("refused", "brought"):
            assert 0 == site.ledger.db.execute(f"SELECT count(*) FROM {table} WHERE instr(ref, 'canary')").fetchone()[0]
        refusals.forget(b"canary-b")
        assert not refusals.holds(b"canary-b")


def test_without_the_home_s_own_keys_nothing_is_walked_or_taken_in(tmp_path: Path) -> None:
    """Else every place would be met as a new one, and every old one be called missing."""
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "x").write_bytes(fake_media(pdq(1)))
    with Site(tmp_path / "home", sealed=True) as site:
        site.scan(tmp_path / "media")
    for keys, error in ((lambda: OTHER_KEYS, LedgerError), (None, UsageError)):
        ledger = Ledger.open(tmp_path / "home", keys=keys)
        with pytest.raises(error):
            ledger.places.find(1, b"x")
        with pytest.raises(error):
            ledger.refusals.holds(b"ref")
        ledger.close()


def test_half_sealed_is_not_used(tmp_path: Path) -> None:
    """A kill while a home was being sealed leaves one sentence to every command, until sealing goes on."""
    with Site(tmp_path) as site:
        asset_id = site.upload(b"content", b"canary-ref").asset_id

        def killed(_places: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sealed_locations.seal(site.ledger.db, LOCATION_KEYS, site.clock, killed)
        site.close()
        site.open()
        assert sealed_locations.Standing.UNFINISHED == sealed_locations.standing(site.ledger.db)
        with pytest.raises(LedgerError, match="has not come to its end"):
            site.upload(b"content", b"canary-ref")
        assert 0 == sealed_locations.seal(site.ledger.db, LOCATION_KEYS, site.clock)
        site.close()
        site.open()
        assert asset_id == site.upload(b"content", b"canary-ref").asset_id

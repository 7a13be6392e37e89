"""What lists hold is found in every place a container may keep it, and a member's digests vouch for nothing."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hashsets.types import Entry, EntryHit, Role, Shape, Signal
from scanner.errors import LedgerError
from scanner.isolation.in_process import InProcess
from scanner.isolation.pool import WorkerPool
from scanner.ledger.claims import MEMBER_SHIFT, of_contents
from scanner.ledger.packing import pack, unpack
from scanner.ledger.tallies import outcomes
from scanner.types import Fingerprint
from tests.scanner.decoding.containers.made import TEXT, film, pdf, picture, pixels, zipped
from tests.scanner.decoding.containers.test_look import HOLDERS
from tests.scanner.fakes import Site, entry_of, sha256, sha256_entry

JPEG = b"/Subtype/Image/Width 128/Height 96/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter"


def in_pdf(*members: bytes) -> bytes:
    """As images where they are JPEGs, plain or packed once more, else attached."""
    streams = []
    for number, member in enumerate(members):
        if not member.startswith(b"\xff\xd8"):
            streams.append((b"/Type/EmbeddedFile", member))
        elif number % 2:
            streams.append((JPEG + b"[/FlateDecode/DCTDecode]", zlib.compress(member)))
        else:
            streams.append((JPEG + b"/DCTDecode", member))
    return pdf(*streams)


PLACES = {
    **HOLDERS,
    "pdf": in_pdf,
    "behind a picture": lambda *members: picture(9) + zipped(*members),
    "behind a program": lambda *members: b"MZ" + TEXT + zipped(*members),
    "cut short": lambda *members: zipped(*members)[:-30],
}


def fingerprint(content: bytes) -> Fingerprint:
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        return InProcess().fingerprint(fd)
    finally:
        os.close(fd)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as opened:
        opened.fingerprinter = InProcess()  # type: ignore[assignment]
        opened.close()
        opened.open()
        yield opened


def keys(hits: tuple[EntryHit, ...]) -> set[bytes]:
    return {hit.entry_key for hit in hits}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.sampled_from(list(PLACES)),
    members=st.lists(st.sampled_from(["1", "2", "3", "text", "film"]), min_size=1, max_size=6),
)
def test_a_listed_picture_is_found_wherever_it_is(site: Site, place: str, members: list[str]) -> None:
    """Listed by sha256 or by PDQ, a picture is a match exactly where a container holds it."""
    made = {"text": TEXT, "film": film(), **{str(n): picture(n) for n in (1, 2, 3)}}
    by_digest = [sha256_entry(picture(n)) for n in (1, 3)]
    by_pdq = entry_of(fingerprint(picture(2)).signals[0], ref="two")
    site.list_entries("bad", *by_digest, by_pdq)
    hits = site.upload(PLACES[place](*(made[name] for name in members)), None).outcome.matches

    expected = {entry.key for entry, name in zip([*by_digest, by_pdq], "132", strict=True) if name in members}
    assert expected == keys(hits)
    assert {"sha256" if hit.entry_key != by_pdq.key else "pdq" for hit in hits} == {hit.hash_type for hit in hits}


def test_a_later_list_finds_members_without_opening_anything(site: Site, tmp_path: Path) -> None:
    """Re-scan compares members from stored signals, from database and segments; withdrawing undoes it."""
    contents = [zipped(picture(n), TEXT, film(12 + n)) for n in range(1, 8)]
    for number, content in enumerate(contents):
        site.upload(content, b"%d" % number)
    for rounds in range(2):
        listed = [sha256_entry(picture(2 + rounds)), sha256_entry(film(13 + rounds))]
        site.list_entries("bad", *listed)
        assert 7 == site.rescan().contents
        assert {(contents[1 + rounds], listed[0].key), (contents[rounds], listed[1].key)} == {
            (content, key)
            for content in contents
            for digest, _, key, state in site.matches()
            if digest == sha256(content) and state == "active"
        }
        site.list_entries("bad", removed=[entry.key for entry in listed])
        site.rescan()
        assert set() == {row for row in site.matches() if row[3] == "active"}
        site.ledger.inventory.keep_up()


def test_members_vouch_for_nothing(site: Site) -> None:
    """A member listed as known good suppresses nothing; the container's own digest does."""
    near = entry_of(fingerprint(picture(1)).signals[0], ref="near")
    content = zipped(picture(1), picture(2))
    site.list_entries("bad", near)
    site.store.create("good", role=Role.KNOWN_GOOD)
    digests = [each for each in fingerprint(content).signals if each.hash_type in ("md5", "sha1", "sha256")]
    site.list_entries("good", sha256_entry(picture(1)), entry_of(*digests, ref="all"))

    assert {near.key} == keys(site.upload(content, b"a").outcome.matches)
    assert {"active"} == {state for *_, state in site.matches()}
    site.list_entries("good", sha256_entry(content))
    site.rescan()
    assert {"suppressed"} == {state for _, name, _, state in site.matches() if name == "bad"}


def test_films_in_one_archive_are_counted_apart(site: Site) -> None:
    """An entry of frames is met by a film whose frames it lists, whatever other films lie beside it."""
    one, other = film(12), film(60)
    frames = [each for each in fingerprint(one).signals if each.hash_type == "pdq"]
    entry = Entry(b"film", tuple(frames), Shape.FRAMES, "film")
    site.list_entries("bad", entry)

    assert {b"film"} == keys(site.upload(zipped(one, other, other + b"x"), b"a").outcome.matches)
    site.list_entries("bad", removed=[b"film"])
    site.rescan()
    site.list_entries("bad", entry)
    assert 1 == site.rescan().change.added


def test_one_match_with_the_best_evidence(site: Site) -> None:
    """Members that meet one entry in several ways make one match, exact where any of them is."""
    near = fingerprint(picture(1)).signals[0]
    entry = entry_of(near, Signal("sha256", sha256(picture(2))), ref="both")
    site.list_entries("bad", entry)
    (hit,) = site.upload(zipped(picture(1), picture(2), picture(1) + b"again"), b"a").outcome.matches

    assert ("sha256", 0, frozenset({"sha256"})) == (hit.hash_type, hit.distance, hit.exact_types)


def test_hits_of_contents_pass_as_they_are(site: Site) -> None:
    """Without members nothing changes; known-good hits of a content itself are kept."""
    site.store.create("good", role=Role.KNOWN_GOOD)
    uid = site.hash_set("good").uid
    hits = [EntryHit(n, uid, b"k", "r", (), 1, "sha256", 0, frozenset({"sha256"})) for n in (1, 2, 3 << MEMBER_SHIFT)]
    sets = {uid: site.hash_set("good")}

    assert hits[:2] == of_contents(hits[:2], sets) == of_contents(hits, sets)


def test_archives_count_as_clear_or_not_media(site: Site) -> None:
    """A container that holds pictures and matches nothing is clear; one without any is not media."""
    site.upload(zipped(picture(1)), b"a")
    site.upload(zipped(TEXT), b"b")
    site.upload(gzip.compress(TEXT), b"c")
    site.upload(zipped(zipped(TEXT)), b"d")
    tally = outcomes(site.ledger.db)

    assert (1, 2, {"nested": 1}) == (tally.clear, tally.not_media, dict(tally.partial))


def test_no_name_of_a_member_is_kept(site: Site, tmp_path: Path) -> None:
    """Names within archives are in no file of the home and in no signal."""
    for place in ("zip", "tar", "tar gnu", "tar.xz"):
        site.upload(HOLDERS[place](picture(1), TEXT, film()), place.encode())
    site.list_entries("bad", sha256_entry(picture(1)))
    site.rescan()
    (tmp_path / "upload.tmp").unlink()

    assert [] == [path for path in tmp_path.rglob("*") if path.is_file() and b"CANARYNAME" in path.read_bytes()]


def test_the_sandbox_gives_the_same_answers() -> None:
    """Whatever opens containers is loaded before a worker is confined."""
    fax = io.BytesIO()
    Image.fromarray(pixels(1)).convert("1").save(fax, "PDF")
    rows = b"".join(b"\2" + bytes(range(128)) for _ in range(96))
    predicted = JPEG + b"/FlateDecode/DecodeParms<</Predictor 15/Columns 128>>"
    contents = [make(picture(1), TEXT, film(), picture(2, "PNG")) for make in PLACES.values()]
    contents += [fax.getvalue(), pdf((predicted.replace(b"DeviceRGB", b"DeviceGray"), zlib.compress(rows)))]
    with WorkerPool(1) as pool:
        for content in contents:
            fd = os.memfd_create("content")
            os.write(fd, content)
            found = pool.fingerprint(fd)
            os.close(fd)
            expected = fingerprint(content)

            assert expected.signals
            assert (expected.looked, expected.signals) == (found.looked, found.signals)
        assert 0 == pool.forbidden_calls


def test_members_are_stored_and_read_back() -> None:
    """Packed signals come back with their members and the parts of these, whatever else the content has."""
    signals = [
        Signal("pdq", bytes(32), "image/pdq/1", quality=90),
        *(Signal("pdq", bytes([n % 256]) * 32, "image/pdq/1", quality=n % 100, part=f"m{n}") for n in (1, 2, 200_000)),
        Signal("pdq", b"p" * 32, "image/pdq/1", quality=9, part="m2.1"),
        Signal("pdq", b"f" * 32, "video/pdq/1", quality=9, part="m3", frame=7, frame_ms=280),
        Signal("sha256", b"d" * 32, "member/worker", part="m3"),
        Signal("pdq", b"q" * 32, "image/pdq/1", quality=9, part="1"),
    ]
    blob = pack(signals)

    assert set(signals) == set(unpack(blob))
    assert len(blob) < sum(len(each.value) for each in signals) + 6 * 70
    for wrong in (bytes(4), b"\xff" * 4):
        with pytest.raises(LedgerError):
            unpack(pack(signals[1:2])[:-4] + wrong)

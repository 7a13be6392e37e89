"""What a list would match, told before it is listed: as many contents as match once it is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from hashsets.refresh import import_list
from hashsets.sources.file import FileSource
from hashsets.types import Role, Rule
from scanner.rehearsal import WouldMatch, rehearsing
from tests.scanner.fakes import Site, fake_media, pdq, sha256

FRAMES = [fake_media(pdq(number)) for number in range(6)]


def would_match(site: Site, text: str, rule: Rule | None = None) -> WouldMatch:
    """What is told of a list; nothing of it is left."""
    source = FileSource(io.BytesIO(text.encode()), complete=False)
    before = site.store.catalogue()
    with rehearsing(source, site.home, Role.ALERT, rule or Rule()) as tried:
        import_list(site.store, "new", tried, day=site.day, dry_run=True)
        told = tried.would_match(site.ledger, site.day)

    assert [] == list(site.home.glob("rehearsal-*"))
    assert [] == site.store.hash_sets()
    assert before <= site.store.catalogue()
    return told


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Six pictures are held."""
    made = Site(tmp_path / "home")
    for number, content in enumerate(FRAMES):
        made.upload(content, b"ref %d" % number)
    return made


def test_it_is_what_the_list_matches_once_it_is_listed(site: Site) -> None:
    """By digest and near, each content once; a list of nothing that is held matches nothing."""
    digests = "".join(f"sha256 {sha256(content).hex()}\n" for content in FRAMES[:3])
    near = "".join(f"pdq {pdq(number).value.hex()}\n" for number in (2, 3))
    with site:
        told = would_match(site, digests + near)
        nothing = would_match(site, f"sha256 {7:064x}\n")
        import_list(site.store, "new", FileSource(io.BytesIO((digests + near).encode()), complete=True), day=site.day)
        site.rescan()

        assert WouldMatch(4, 6) == told
        assert WouldMatch(0, 6) == nothing
        assert 4 == len({seq for seq, *_ in site.matches()})


def test_the_rule_of_the_set_is_the_rule_of_the_rehearsal(site: Site) -> None:
    """What it does not compare matches nothing."""
    text = f"pdq {pdq(2).value.hex()}\n"
    with site:
        assert WouldMatch(1, 6) == would_match(site, text)
        assert WouldMatch(0, 6) == would_match(site, text, Rule(hash_types=frozenset({"md5"})))

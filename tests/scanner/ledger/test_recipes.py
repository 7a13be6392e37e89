"""Debts: a hash type that is wanted later is owed by what was looked at before, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hashsets.types import Signal
from scanner.ledger import recipes
from tests.scanner.fakes import Site, entry_of, fake_media, pdq, sha256

PHASH = Signal("phash", bytes(range(8)))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site that computes pdq alone, and has looked at one picture and one letter."""
    with Site(tmp_path / "home") as site:
        site.fingerprinter.hash_types = {"pdq"}
        folder = tmp_path / "media"
        folder.mkdir()
        (folder / "picture").write_bytes(fake_media(pdq(1), PHASH))
        (folder / "letter").write_bytes(b"letters")
        site.list_entries("A", entry_of(pdq(1), ref="near"), entry_of(PHASH, ref="other"))
        site.scan(folder)
        yield site


def debts(site: Site) -> dict[str, int]:
    """Contents by the recipe they owe."""
    return dict(recipes.debts(site.ledger.db, site.fingerprinter.wanted))


def test_a_hash_type_wanted_later_is_owed_and_paid_when_asked(site: Site, tmp_path: Path) -> None:
    """An ordinary scan opens nothing for it; `--owed` looks once, and what was matched before stays matched."""
    before, said = debts(site), sorted(site.said())
    site.fingerprinter.hash_types = {"pdq", "phash"}
    owed, ordinary = debts(site), site.scan(tmp_path / "media")
    paid, again = site.scan(tmp_path / "media", look_at_owed=True), site.scan(tmp_path / "media", look_at_owed=True)

    assert ({}, {"phash": 1}, {}) == (before, owed, debts(site))
    assert [0, 1, 0] == [walked.opened_files for walked in (ordinary, paid, again)]
    assert 2 == site.fingerprinter.looks[sha256(fake_media(pdq(1), PHASH))]
    assert (1, 2) == (len(said), len(site.said()))


def test_a_hash_type_no_longer_wanted_is_no_debt_and_keeps_matching(site: Site, tmp_path: Path) -> None:
    """What was computed once stays."""
    site.fingerprinter.hash_types = {"pdq", "phash"}
    site.scan(tmp_path / "media", look_at_owed=True)
    site.fingerprinter.hash_types = {"pdq"}
    walked = site.scan(tmp_path / "media", look_at_owed=True)

    assert ({}, 0, 2) == (debts(site), walked.opened_files, len(site.said()))


def test_what_cannot_be_decoded_and_what_is_no_media_owes_nothing(site: Site, tmp_path: Path) -> None:
    """There is nothing to compute it from."""
    site.fingerprinter.hash_types = {"pdq", "phash"}
    (seq,) = site.ledger.db.execute("SELECT seq FROM content WHERE media = 'other'").fetchone()

    assert not site.ledger.owes_recipes(seq, site.fingerprinter.wanted)
    assert {"phash": 1} == debts(site)

"""`from scanner import Scanner`: the front door for programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from hashsets.refresh import import_list
from hashsets.sources.file import FileSource
from hashsets.types import Role
from scanner import Scanner
from scanner.config import Config, Home, ScanConfig
from scanner.errors import UsageError
from scanner.ledger.assets import Root
from scanner.ledger.places import Places
from scanner.patterns import compile_pattern, literal
from tests.scanner.fakes import FakeFingerprinter, MovableClock, fake_media, sha256

DAY = "2026-01-31"


@pytest.fixture
def scanner(tmp_path: Path) -> Iterator[Scanner]:
    """A scanner over an empty home, with a stand-in for what decodes media."""
    with Scanner(Home(tmp_path / "home"), Config(scan=ScanConfig(workers=1)), MovableClock()) as made:
        made.__dict__["pool"] = FakeFingerprinter()
        yield made
        made.__dict__.pop("pool")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Three files in two folders."""
    made = tmp_path / "storage"
    (made / "below").mkdir(parents=True)
    (made / "one").write_bytes(fake_media(comment="one"))
    (made / "two").write_bytes(fake_media(comment="two"))
    (made / "below" / "three").write_bytes(fake_media(comment="three"))
    return made


def list_content(scanner: Scanner, content: bytes, folder: Path, name: str = "set", role: Role = Role.ALERT) -> None:
    """List a content by its SHA-256."""
    file = folder / f"{name}.list"
    file.write_text(f"sha256 {sha256(content).hex()}\n")
    import_list(scanner.store, name, FileSource(file, complete=True), day=DAY, role=role)


def test_an_upload_is_found_again_by_its_ref_and_forgotten(scanner: Scanner, tmp_path: Path) -> None:
    """Scan, list later, re-scan: the match is there without the bytes; what is deleted is not."""
    content = fake_media(comment="upload")
    with (tmp_path / "file").open("w+b") as file:
        file.write(content)
        file.flush()
        first = scanner.scan_upload(file.fileno(), ref=b"post-1")
        list_content(scanner, content, tmp_path)
        change = scanner.rescan().change
        second = scanner.scan_upload(file.fileno(), ref=b"post-1")

    assert first.clear
    assert not second.clear
    assert 1 == change.added
    assert scanner.forget_upload(b"post-1")
    assert not scanner.forget_upload(b"post-1")
    assert not scanner.forget_upload(b"never there")


def test_an_upload_says_how_long_its_sender_waits(scanner: Scanner, tmp_path: Path) -> None:
    """The digests take their part of the time, and the look has the rest."""
    with (tmp_path / "file").open("w+b") as file:
        file.write(fake_media())
        file.flush()
        scanner.scan_upload(file.fileno(), within_s=60)
    (given,) = cast(FakeFingerprinter, scanner.pool).given

    assert given is not None
    assert 0 < given < 60


@pytest.mark.parametrize("ref", [b"", b"x" * 513])
def test_a_ref_has_bounds(ref: bytes, scanner: Scanner, tmp_path: Path) -> None:
    """What a ledger row cannot hold is refused before anything is read."""
    with (tmp_path / "file").open("w+b") as file, pytest.raises(UsageError):
        scanner.scan_upload(file.fileno(), ref=ref)


def test_paths_may_be_text_bytes_or_path_like_and_overlap(scanner: Scanner, storage: Path) -> None:
    """Each file has one outcome, in whatever way and order its place is named."""
    named = [storage / "one", os.fspath(storage), os.fsencode(storage / "below"), "root-1"]
    done = scanner.scan(named)
    again = scanner.scan([storage / "below", storage / "below" / "three", storage / "one"])

    assert (3, 3) == (done.outcomes.assets, done.walked.scanned)
    assert 2 == again.outcomes.assets


def test_names_that_begin_alike_do_not_cover_each_other(scanner: Scanner, storage: Path) -> None:
    """`one` and `one more` are two files."""
    (storage / "one more").write_bytes(fake_media(comment="more"))
    scanner.scan([storage])

    assert 2 == scanner.scan([storage / "one", storage / "one more"]).outcomes.assets


@pytest.mark.parametrize("path", ["", "nothing", "a\0b"])
def test_a_path_that_is_not_there_is_refused_and_leaves_no_root(path: str, scanner: Scanner, tmp_path: Path) -> None:
    """Nothing is scanned under a mistyped name."""
    with pytest.raises(UsageError):
        scanner.scan([path and tmp_path / path])

    assert [] == scanner.ledger.places.roots()


def test_what_is_behind_is_counted_until_a_rescan_has_paid_it(scanner: Scanner, storage: Path, tmp_path: Path) -> None:
    """Once for each set and content; a disabled set owes nothing."""
    scanner.scan([storage])
    before = scanner.behind()
    list_content(scanner, fake_media(comment="one"), tmp_path)
    list_content(scanner, fake_media(comment="two"), tmp_path, "other")
    two = scanner.behind()
    scanner.store.set_enabled("other", False)
    one = scanner.behind()
    scanner.rescan()

    assert [0, 6, 3, 0] == [before, two, one, scanner.behind()]


def test_progress_hears_of_each_file_and_each_content(scanner: Scanner, storage: Path, tmp_path: Path) -> None:
    """The sum is what was done, unchanged files included."""
    files: list[int] = []
    contents: list[int] = []
    scanner.scan([storage], progress=files.append)
    list_content(scanner, fake_media(comment="one"), tmp_path)
    scanner.scan([storage], progress=files.append, rescanned=contents.append)

    assert (6, 3) == (sum(files), sum(contents))


def test_a_held_match_is_counted_and_not_reported(scanner: Scanner, storage: Path, tmp_path: Path) -> None:
    """Listed and known good by the same digest: the verdict stays, no report is pending."""
    list_content(scanner, fake_media(comment="one"), tmp_path)
    list_content(scanner, fake_media(comment="one"), tmp_path, "good", Role.KNOWN_GOOD)
    outcomes = scanner.scan([storage]).outcomes

    assert (1, 1, 0) == (outcomes.matched, outcomes.held, outcomes.suppressed)
    assert 0 == scanner.seal()


@pytest.mark.parametrize("name", [b"plain", b"[a]*?", b"**", b"\xff\n"])
def test_a_literal_pattern_matches_its_own_path_alone(name: bytes) -> None:
    """Whatever a home is called, leaving it out leaves out nothing else."""
    pattern = compile_pattern(literal(b"/top/" + name))

    assert pattern.matches([b"top", name], is_folder=True)
    assert not pattern.matches([b"top", b"a"], is_folder=True)
    assert not pattern.matches([b"top", name, name], is_folder=True)


class Overtaken:
    """The places of a ledger in which another process adds a root just after we looked for it."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._looked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._places, name)

    def root_holding(self, path: bytes) -> Root | None:
        """What was found, which is no longer so."""
        found = self._places.root_holding(path)
        if not self._looked:
            self._looked = True
            self._places.add_root(path)
        return found


def test_a_root_that_another_process_has_just_added_is_shared(scanner: Scanner, storage: Path) -> None:
    """Two first scans of one folder at the same moment are no mistake of either."""
    places = scanner.ledger.places
    scanner.ledger.places = Overtaken(places)  # type: ignore[assignment]
    done = scanner.scan([storage])

    assert 3 == done.outcomes.assets
    assert 1 == len(places.roots())

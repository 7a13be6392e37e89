"""Refresh: what a list does to a set, and everything that must leave the old version serving."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hashsets import hashtypes
from hashsets.errors import HashsetsError, ListError, NoSuchSet, ShrinkRefused, SourceError, UsageError
from hashsets.formats import Reading
from hashsets.refresh import RefreshSummary, import_list, is_complete, refresh
from hashsets.snapshots import current
from hashsets.sources import FileSource
from hashsets.store import Store
from hashsets.types import Delta, Entry, Mode, Role, Rule, Signal, entry_key
from tests.shared_material import vectors

DAY = "2026-01-01"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store.open(tmp_path / "home") as opened:
        yield opened


def lines(first: int, last: int) -> str:
    """A plain list of md5 values told by number."""
    return "".join(f"{number:032x}\n" for number in range(first, last + 1))


def bring(
    store: Store, text: str, *, complete: bool = True, allow_shrink: bool = False, dry_run: bool = False
) -> RefreshSummary:
    """Import a list into the set "a"."""
    source = FileSource(io.BytesIO(text.encode()), complete=complete)
    return import_list(store, "a", source, day=DAY, allow_shrink=allow_shrink, dry_run=dry_run)


def numbers(store: Store) -> set[int]:
    """What "a" lists."""
    uid = store.hash_set("a").uid
    return {int.from_bytes(signal.value) for entry in store.entries(uid) for signal in entry.signals}


def test_a_complete_list_replaces_and_an_addition_adds(store: Store) -> None:
    """And the summary counts what each did."""
    first = bring(store, lines(1, 10))
    added = bring(store, lines(9, 12), complete=False)
    replaced = bring(store, lines(5, 20))

    assert (1, 10, 10, 0, 0, 0) == _counts(first)
    assert (2, 12, 2, 0, 0, 2) == _counts(added)
    assert (3, 16, 8, 0, 4, 8) == _counts(replaced)
    assert set(range(5, 21)) == numbers(store)


def _counts(summary: RefreshSummary) -> tuple[int, int, int, int, int, int]:
    return (
        summary.version,
        summary.entries,
        summary.added,
        summary.changed,
        summary.withdrawn,
        summary.unchanged,
    )


def test_the_summary_tells_what_was_not_used(store: Store) -> None:
    """By reason, with the first line of each, and by type that cannot be compared."""
    summary = bring(store, lines(1, 100) + "zz\nsha512 " + "ab" * 64 + "\nd41d8cd98f00b204e9800998ecf8427e\n")

    assert {"not_a_value": 1, "degenerate": 1} == summary.rejected
    assert {"not_a_value": 101, "degenerate": 103} == summary.first_line
    assert {"sha512": 1} == summary.unmatchable


def test_a_dry_run_counts_the_same_and_changes_nothing(store: Store) -> None:
    """Neither an existing set nor a new one."""
    tried = bring(store, lines(1, 10), dry_run=True)
    assert [] == store.hash_sets()
    assert [] == store.removed()
    bring(store, lines(1, 10))
    before, catalogue = store.hash_set("a"), store.catalogue()
    tried_again = bring(store, lines(5, 20), dry_run=True)

    assert (10, 0, 0) == (tried.added, tried.withdrawn, tried.unchanged)
    assert (16, 10, 4, 6) == (
        tried_again.entries, tried_again.added, tried_again.withdrawn, tried_again.unchanged,
    )  # fmt: skip
    assert tried_again.dry_run
    assert (before, catalogue) == (store.hash_set("a"), store.catalogue())
    assert set(range(1, 11)) == numbers(store)
    assert [] == store.verify("a")
    assert (10, 4, 6) == (
        (done := bring(store, lines(5, 20))).added, done.withdrawn, done.unchanged
    )  # fmt: skip


def test_a_mass_withdrawal_needs_to_be_allowed(store: Store) -> None:
    """Over a fifth of the set and over 100 entries; entries exchanged for others count as withdrawn."""
    bring(store, lines(1, 600))
    with pytest.raises(ShrinkRefused, match=r"121 of 600.*--allow-shrink"):
        bring(store, lines(122, 900))
    assert set(range(1, 601)) == numbers(store)
    assert [] == store.verify("a")
    with store.read() as connection:  # what was staged is gone at once, not only with the next refresh
        assert 600 == connection.execute("SELECT COUNT(*) FROM entry").fetchone()[0]
        assert 0 == connection.execute("SELECT COUNT(*) FROM staged").fetchone()[0]
        assert 0 == connection.execute("SELECT COUNT(*) FROM signal WHERE withdrawn NOTNULL").fetchone()[0]
    assert 120 == bring(store, lines(121, 900)).withdrawn
    assert 720 == bring(store, lines(841, 900), allow_shrink=True).withdrawn
    assert 59 == bring(store, lines(900, 900)).withdrawn  # under 100 entries


@pytest.mark.parametrize("text", ["", "# nothing\n", "zz\n" * 50, lines(1, 5) + "zz\n" * 5, lines(1, 5) + "12"])
def test_a_refused_list_leaves_the_old_version_and_no_new_set(store: Store, text: str) -> None:
    """Empty, not a list, too many rejects, cut off; also after pages were staged."""
    with pytest.raises(ListError):
        bring(store, text)
    assert [] == store.hash_sets()
    bring(store, lines(1, 3))
    before = store.hash_set("a"), store.catalogue()
    with pytest.raises(ListError):
        bring(store, text)

    assert before == (store.hash_set("a"), store.catalogue())
    assert {1, 2, 3} == numbers(store)
    assert [] == store.verify("a")


def test_after_the_first_import_the_operator_says_which_kind(store: Store) -> None:
    """A list taken for the whole set by mistake would withdraw the rest."""
    assert is_complete(None, add=False, complete=False)
    created = store.create("a")
    assert is_complete(created, add=False, complete=False)
    bring(store, lines(1, 3))
    hash_set = store.hash_set("a")
    with pytest.raises(UsageError, match=r"--add.*--complete"):
        is_complete(hash_set, add=False, complete=False)
    with pytest.raises(UsageError):
        is_complete(hash_set, add=True, complete=True)
    assert not is_complete(hash_set, add=True, complete=False)
    assert is_complete(hash_set, add=False, complete=True)


def test_role_mode_and_rule_are_those_of_a_set_it_creates(store: Store) -> None:
    """An existing set keeps its own."""
    rule = Rule(radius_bits={"pdq": 20})
    for number, role in ((1, Role.CANARY), (2, Role.ALERT)):
        source = FileSource(io.BytesIO(lines(number, number).encode()), complete=False)
        import_list(store, "a", source, day=DAY, role=role, mode=Mode.SHADOW, rule=rule)
    hash_set = store.hash_set("a")

    assert (Role.CANARY, Mode.SHADOW, rule) == (hash_set.role, hash_set.mode, hash_set.rule)


def test_an_unknown_set_is_not_refreshed(store: Store) -> None:
    """Only an import creates one."""
    with pytest.raises(NoSuchSet):
        refresh(store, "a", FileSource(io.BytesIO(b""), complete=True), day=DAY)


class Feed:
    """A source that pages, withdraws and keeps a checkpoint; the entries of one key replace each other."""

    fragments = False

    def __init__(self, *pages: Delta, fails: bool = False) -> None:
        self.reading = Reading()
        self.asked: bytes | None = b"never"
        self._pages = pages
        self._fails = fails

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """See Source."""
        self.asked = checkpoint
        yield from self._pages
        if self._fails:
            raise SourceError("the feed went away: try again later")


def entry(number: int) -> Entry:
    """An md5 entry."""
    signal = Signal("md5", number.to_bytes(16))
    return Entry(entry_key(signal), (signal,))


def test_a_feed_goes_on_from_its_checkpoint(store: Store) -> None:
    """Also over refreshes without a change; a feed that fails half-way moves nothing."""
    store.create("a")
    heard: list[int] = []
    first = Feed(Delta((entry(1), entry(2))), Delta((entry(3),), checkpoint=b"one"))
    refresh(store, "a", first, day=DAY, progress=heard.append)
    failing = Feed(Delta((entry(4),), (entry(1).key,), checkpoint=b"two"), fails=True)
    with pytest.raises(SourceError):
        refresh(store, "a", failing, day=DAY)
    assert {1, 2, 3} == numbers(store)
    nothing = Feed(Delta(checkpoint=b"three"))
    refresh(store, "a", nothing, day=DAY)
    silent = Feed()
    refresh(store, "a", silent, day=DAY)
    last = Feed(Delta(removed=(entry(1).key, b"unknown")))
    done = refresh(store, "a", last, day=DAY)

    assert [2, 1] == heard
    assert [None, b"one", b"one", b"three", b"three"] == [
        feed.asked for feed in (first, failing, nothing, silent, last)
    ]
    assert (2, 2, 0, 0, 1, 0) == _counts(done)
    assert {2, 3} == numbers(store)
    assert b"three" == store.checkpoint("a")


def test_a_full_list_that_is_empty_or_only_half_said_to_be_full_is_refused(store: Store) -> None:
    """A provider's outage must not withdraw a set."""
    store.create("a")
    refresh(store, "a", Feed(Delta((entry(1),))), day=DAY)
    for broken in (Feed(Delta(complete=True)), Feed(Delta((entry(1),), complete=True), Delta((entry(2),)))):
        with pytest.raises(ListError):
            refresh(store, "a", broken, day=DAY)

    assert {1} == numbers(store)


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_file_is_read_by_path(store: Store, tmp_path: Path) -> None:
    """In pages, each heard of."""
    path = tmp_path / "list"
    path.write_text(lines(1, 200_000))
    heard: list[int] = []
    import_list(store, "a", FileSource(path, complete=True), day=DAY, progress=heard.append)

    assert 200_000 == sum(heard)
    assert len(heard) > 1
    assert 200_000 == store.hash_set("a").entries


def test_what_is_no_readable_file_is_refused_at_once_without_its_name(store: Store, tmp_path: Path) -> None:
    """A FIFO would hang for ever, a folder is no list, and a canary in the name stays there."""
    fifo, missing = tmp_path / "canary-fifo", tmp_path / "canary-missing"
    os.mkfifo(fifo)
    for path in (fifo, missing, tmp_path, Path("/dev/null")):
        with pytest.raises(SourceError) as caught:
            import_list(store, "a", FileSource(path, complete=True), day=DAY)
        assert "canary" not in str(caught.value)

    assert [] == store.hash_sets()


class Breaking(io.BytesIO):
    """A stream whose disk fails after the first read."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Half the list, then an error."""
        if self.tell():
            raise OSError(5, "canary")
        return super().read(2_000)


def test_a_disk_that_fails_half_way_imports_nothing(store: Store) -> None:
    """The error is ours."""
    with pytest.raises(HashsetsError) as caught:
        import_list(store, "a", FileSource(Breaking(lines(1, 5000).encode()), complete=True), day=DAY)

    assert "canary" not in str(caught.value)
    assert [] == store.hash_sets()


def test_fragments_of_one_ref_anywhere_in_a_file_are_one_entry(store: Store) -> None:
    """The store unites what the format could not gather."""
    rows = [f"md5,{number:032x},film{number % 3}" for number in range(1, 31)]
    source = FileSource(io.BytesIO(("type,value,ref\n" + "\n".join(rows)).encode()), complete=True)
    summary = import_list(store, "a", source, day=DAY)

    assert 3 == summary.added
    assert {10} == {len(listed.signals) for listed in store.entries(store.hash_set("a").uid)}


def test_published_needles_are_found_in_the_haystack_at_every_radius(store: Store) -> None:
    """Pairs within 0, 15, 31, 47 and 63 bits, as counted independently."""
    import_list(store, "hay", FileSource(vectors("haystack.txt"), complete=True, type_name="pdq"), day=DAY)
    needles = [hashtypes.parse("pdq", line) for line in vectors("needles.txt").read_text().split()]
    values = np.frombuffer(b"".join(needles), np.uint8).reshape(-1, 32)
    snapshot = current(store)

    assert [50, 151, 250, 287, 352] == [len(snapshot.near("pdq", values, bits)) for bits in (0, 15, 31, 47, 63)]

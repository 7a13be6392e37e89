"""A changeable index answers as one built afresh, after any sequence of changes, for whoever follows its shelf."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hashsets import hashtypes
from hashsets.errors import MatchingError, SegmentRefused
from hashsets.lookups import rows_counted
from hashsets.matching import changeable, filing, listing
from hashsets.matching.changeable import Change, Layer
from hashsets.matching.listing import LIST_NAME
from hashsets.matching.reference import BruteForce
from hashsets.matching.shelf import Shelf
from tests.hashsets.matching.populations import near, random_values

PDQ = hashtypes.get("pdq")
PHASH = hashtypes.get("phash")
SHA256 = hashtypes.get("sha256")
FAMILY = random_values(6, 8, 1)
NOBODY_ELSE = contextlib.nullcontext()


def found(shelf: Shelf, asked: np.ndarray, radius: int, name: str = "pdq") -> list[tuple[int, int, int]]:
    hits = shelf.held.views[name].query(asked, radius)
    rows = zip(hits.query_rows.tolist(), hits.listed_rows.tolist(), hits.distances.tolist(), strict=True)
    return list(rows)


def ids_found(shelf: Shelf, values: np.ndarray) -> list[int]:
    return [id_ for _, id_, _ in found(shelf, values, 0)]


class Changes(RuleBasedStateMachine):
    """Adds, withdrawals, listing again under an old id, and merges, against a list that is brute-forced."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="shelf-"))
        self.writer = Shelf.create([PHASH], self.folder)
        self.reader = Shelf.open([PHASH], self.folder)
        self.held: list[tuple[int, bytes, int]] = []

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(
        count=st.integers(0, 40),
        seed=st.integers(0, 999),
        first=st.integers(0, 200),
        repeat=st.booleans(),
        gone=st.sets(st.integers(0, 300)),
        equal=st.booleans(),
    )
    def change(self, count: int, seed: int, first: int, repeat: bool, gone: set[int], equal: bool) -> None:
        values = near(FAMILY, count, 0 if equal else 8, seed)
        ids = first + (np.arange(count) // 2 if repeat else np.arange(count) * 3)
        marks = (np.arange(count) * 37 % 256).astype(np.uint8)
        withdrawn = np.array(sorted(gone), np.int64)
        self.writer.change({"phash": Change(values, ids, marks, withdrawn)})
        self.held = [row for row in self.held if row[0] not in gone]
        self.held += [(int(key), bytes(value), int(mark)) for key, value, mark in zip(ids, values, marks, strict=True)]

    @rule()
    def merge(self) -> None:
        self.writer.merge(NOBODY_ELSE)

    @rule()
    def open_again(self) -> None:
        self.writer = Shelf.open([PHASH], self.folder)

    @invariant()
    def equals_brute_force(self) -> None:
        asked = near(FAMILY, 5, 6, 77)
        values = np.frombuffer(b"".join(value for _, value, _ in self.held), np.uint8).reshape(-1, 8)
        hits = BruteForce(PHASH, values).query(asked, 8)
        ids = [self.held[row][0] for row in hits.listed_rows.tolist()]
        expected = sorted(zip(hits.query_rows.tolist(), ids, hits.distances.tolist(), strict=True))
        self.reader.refresh()
        wanted = np.arange(0, 400, 3)
        counts = [sum(key == id_ and mark >= 100 for key, _, mark in self.held) for id_ in wanted]

        for shelf in (self.writer, self.reader):
            assert expected == sorted(found(shelf, asked, 8, "phash"))
            assert [key[:2] for key in expected] == [key[:2] for key in found(shelf, asked, 8, "phash")]
            assert len(self.held) == len(shelf.held.views["phash"])
            assert counts == rows_counted(shelf.held.views["phash"], wanted, 100, 255).tolist()


Changes.TestCase.settings = settings(max_examples=30, stateful_step_count=12, deadline=None)
TestChanges = Changes.TestCase


def test_a_view_never_changes(tmp_path: Path) -> None:
    """What was in force when a view was taken is what it answers for ever, though its files are gone."""
    values = random_values(50, 32, 1)
    shelf = Shelf.create([PDQ], tmp_path)
    shelf.change({"pdq": Change(values[:30], np.arange(30))}, b"one")
    held = shelf.held
    shelf.change({"pdq": Change(values[30:], np.arange(30, 50), withdrawn=np.arange(10))}, b"two")
    for path in tmp_path.iterdir():
        path.unlink()

    assert held.views["pdq"].query(values, 0).listed_rows.tolist() == list(range(30))
    assert ids_found(shelf, values) == list(range(10, 50))
    assert (held.state, shelf.held.state) == (b"one", b"two")


def test_types_change_in_one_step(tmp_path: Path) -> None:
    """A reader sees all types of a change or none of it; types that did not change keep their files."""
    shelf = Shelf.create([PDQ, SHA256], tmp_path)
    values = random_values(20, 32, 1)
    shelf.change({"pdq": Change(values, np.arange(20)), "sha256": Change(values, np.arange(20))}, b"1")
    reader = Shelf.open([PDQ, SHA256], tmp_path)
    kept = reader.held.views["sha256"]
    shelf.change({"pdq": Change(values[:1], np.array([20]))}, b"2")
    reader.refresh()

    assert 21 == len(reader.held.views["pdq"])
    assert kept.layers[0] is reader.held.views["sha256"].layers[0]
    assert b"2" == reader.held.state


def test_layers_stay_few(tmp_path: Path) -> None:
    """Fifty small additions leave a handful of layers to search."""
    shelf = Shelf.create([SHA256], tmp_path)
    values = random_values(500, 32, 1)
    for at in range(0, 500, 10):
        shelf.change({"sha256": Change(values[at : at + 10], np.arange(at, at + 10))})

    assert len(shelf.held.views["sha256"].layers) <= 6
    assert [id_ for _, id_, _ in found(shelf, values, 0, "sha256")] == list(range(500))


def test_merges_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would take more memory than a merge may stays in layers of its own."""
    monkeypatch.setattr(changeable, "MERGE_MOST_ROWS", 25)
    shelf = Shelf.create([SHA256], tmp_path)
    values = random_values(60, 32, 1)
    for at in range(0, 60, 10):
        shelf.change({"sha256": Change(values[at : at + 10], np.arange(at, at + 10))})

    assert [20, 20, 20] == [len(layer.segment) for layer in shelf.held.views["sha256"].layers]
    assert not shelf.merge_due()


def test_a_mostly_withdrawn_layer_is_rewritten(tmp_path: Path) -> None:
    """Rows that are gone do not cost room for ever."""
    shelf = Shelf.create([PDQ], tmp_path)
    nothing = Change(random_values(0, 32, 1), np.arange(0))
    shelf.change({"pdq": Change(random_values(100, 32, 1), np.arange(100))})
    shelf.change({"pdq": Change(nothing.values, nothing.ids, withdrawn=np.arange(60))})

    assert [len(layer.segment) for layer in shelf.held.views["pdq"].layers] == [40]
    shelf.change({"pdq": Change(nothing.values, nothing.ids, withdrawn=np.arange(100))})
    assert (0, ()) == (len(shelf.held.views["pdq"]), shelf.held.views["pdq"].layers)
    assert [LIST_NAME] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("other_process", [False, True])
def test_what_changes_during_a_merge_stays_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other_process: bool
) -> None:
    """Additions and withdrawals while a large merge is built are in force at once and after it."""
    monkeypatch.setattr(changeable, "MERGE_AT_ONCE_ROWS", 0)
    values = random_values(300, 32, 1)
    ids = np.concatenate([np.arange(0, 200, 2), np.arange(1, 200, 2), np.arange(200, 300)])  # layers lie in each other
    shelf = Shelf.create([PDQ], tmp_path)
    shelf.change({"pdq": Change(values[:100], ids[:100])})
    shelf.change({"pdq": Change(values[100:200], ids[100:200], withdrawn=np.arange(5))})
    building, may_end = threading.Event(), threading.Event()
    build = changeable.merged

    def slow(layers: Sequence[Layer]) -> Layer:
        building.set()
        assert may_end.wait(60)
        return build(layers)

    monkeypatch.setattr(changeable, "merged", slow)
    merging = threading.Thread(target=shelf.merge, args=(NOBODY_ELSE,))
    merging.start()
    assert building.wait(60)
    writer = Shelf.open([PDQ], tmp_path) if other_process else shelf
    writer.change({"pdq": Change(values[200:], ids[200:], withdrawn=np.array([50, 151, 250]))})
    expected = [i for i in ids.tolist() if i not in (0, 2, 4, 50, 151)]
    assert ids_found(writer, values) == expected
    writer.tidy()
    may_end.set()
    merging.join(10)

    assert ids_found(shelf, values) == ids_found(Shelf.open([PDQ], tmp_path), values) == expected
    assert [len(layer.segment) for layer in shelf.held.views["pdq"].layers] == [197, 100]


def test_a_merge_of_an_index_that_is_built_anew_meanwhile_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is of the old index; the new one stays as it is."""
    monkeypatch.setattr(changeable, "MERGE_AT_ONCE_ROWS", 0)
    values = random_values(20, 32, 1)
    shelf = Shelf.create([PDQ], tmp_path)
    for at in (0, 10):
        shelf.change({"pdq": Change(values[at : at + 10], np.arange(at, at + 10))})

    @contextlib.contextmanager
    def built_anew() -> Iterator[None]:
        Shelf.create([PDQ], tmp_path).change({"pdq": Change(values[:3], np.arange(3))})
        yield

    assert shelf.merge_due()
    assert not shelf.merge(built_anew())
    assert ids_found(shelf, values) == ids_found(Shelf.open([PDQ], tmp_path), values) == [0, 1, 2]


def test_wrong_changes_change_nothing(tmp_path: Path) -> None:
    """Falling ids, wrong shapes and wrong dtypes are refused whole: not even the withdrawals happen."""
    values = random_values(10, 32, 1)
    shelf = Shelf.create([PDQ], tmp_path)
    shelf.change({"pdq": Change(values, np.arange(10, 20))})
    for bad in (
        Change(values, np.arange(10)[::-1].copy(), withdrawn=np.arange(10, 15)),
        Change(values[:, :8], np.arange(20, 30), withdrawn=np.arange(10, 15)),
        Change(values, np.arange(20, 30, dtype=np.int32), withdrawn=np.arange(10, 15)),  # type: ignore[arg-type]
        Change(values, np.arange(20, 30), np.zeros(9, np.uint8), np.arange(10, 15)),
        Change(values, np.arange(20, 30), withdrawn=np.arange(10, 15, dtype=np.int32)),  # type: ignore[arg-type]
    ):
        with pytest.raises(MatchingError):
            shelf.change({"pdq": bad})

    assert found(shelf, values, 0) == [(i, i + 10, 0) for i in range(10)]


@pytest.mark.parametrize("hash_type", [PDQ, PHASH, SHA256], ids=lambda t: t.name)
def test_a_shelf_outlasts_its_process(tmp_path: Path, hash_type: hashtypes.HashType) -> None:
    """Opened again, an index has every change and its state; another process follows later ones."""
    name = hash_type.name
    values = random_values(60, hash_type.size_bytes, 1)
    shelf = Shelf.create([hash_type], tmp_path / "index")
    shelf.change({name: Change(values[:40], np.arange(40))}, b"v1")
    reader = Shelf.open([hash_type], tmp_path / "index")
    shelf.change({name: Change(values[40:], np.arange(40, 60), withdrawn=np.array([3, 45]))}, b"v2")

    assert (reader.held.state, len(reader.held.views[name])) == (b"v1", 40)
    assert reader.refresh()
    assert not reader.refresh()
    again = Shelf.open([hash_type], tmp_path / "index")
    for index in (shelf, reader, again):
        assert found(index, values, 0, name) == [(i, i, 0) for i in range(60) if i != 3]
        assert index.held.state == b"v2"
    again.verify()


def test_an_id_withdrawn_and_added_in_one_step_is_there(tmp_path: Path) -> None:
    """Withdrawals come first: a value listed again under the same id is listed."""
    values = random_values(2, 32, 1)
    shelf = Shelf.create([PDQ], tmp_path)
    shelf.change({"pdq": Change(values[:1], np.array([7]))})
    shelf.change({"pdq": Change(values[1:], np.array([7]), withdrawn=np.array([7]))})

    assert found(shelf, values, 0) == [(1, 7, 0)]


def test_a_folder_holds_only_what_its_list_names(tmp_path: Path) -> None:
    """Replaced files go; what a crash left goes at the next tidying. All are for us alone."""
    values = random_values(200, 32, 1)
    shelf = Shelf.create([PDQ], tmp_path)
    for at in range(0, 200, 20):
        change = Change(values[at : at + 20], np.arange(at, at + 20), withdrawn=np.array([at - 20]))
        shelf.change({"pdq": change})
    (tmp_path / "0123456789abcdef.segment").write_bytes(b"left by a crash")
    (tmp_path / ".partial-x").write_bytes(b"half")
    shelf.tidy()
    layers = shelf.held.views["pdq"].layers
    named = {layer.name for layer in layers} | {layer.withdrawn_name for layer in layers} - {None}

    assert {path.name for path in tmp_path.iterdir()} == named | {LIST_NAME}
    assert {0o600} == {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}


def test_what_a_killed_merge_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies in a folder of its own, where no writer tidies."""
    monkeypatch.setattr(changeable, "MERGE_AT_ONCE_ROWS", 0)
    values = random_values(20, 32, 1)
    shelf = Shelf.create([PDQ], tmp_path)
    for at in (0, 10):
        shelf.change({"pdq": Change(values[at : at + 10], np.arange(at, at + 10))})
    (tmp_path / "merging").mkdir()
    (tmp_path / "merging" / ".partial-half").write_bytes(b"half")
    shelf.tidy()

    assert (tmp_path / "merging" / ".partial-half").exists()
    assert shelf.merge(NOBODY_ELSE)
    assert [] == list((tmp_path / "merging").iterdir())
    assert ids_found(Shelf.open([PDQ], tmp_path), values) == list(range(20))


def test_a_torn_or_foreign_shelf_is_refused(tmp_path: Path) -> None:
    """A list cut short, bent or of other types, a segment of another index or one that is gone: refused; made anew."""
    values = random_values(20, 32, 1)
    for name in ("a", "b"):
        shelf = Shelf.create([PDQ], tmp_path / name)
        shelf.change({"pdq": Change(values, np.arange(20), withdrawn=np.array([1]))})
    for types in ([PHASH], [PDQ, PHASH], []):
        with pytest.raises(SegmentRefused):
            Shelf.open(types, tmp_path / "a")
    with pytest.raises(SegmentRefused):
        Shelf.open([PDQ], tmp_path / "nowhere")
    text = (tmp_path / "a" / LIST_NAME).read_bytes()
    for at in range(0, len(text) - 9, 7):
        (tmp_path / "a" / LIST_NAME).write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
        with pytest.raises(SegmentRefused):
            Shelf.open([PDQ], tmp_path / "a")
        (tmp_path / "a" / LIST_NAME).write_bytes(text[:at])
        with pytest.raises(SegmentRefused):
            Shelf.open([PDQ], tmp_path / "a")
    (tmp_path / "a" / LIST_NAME).write_bytes(text)
    name = next((tmp_path / "a").glob("*.segment")).name
    (tmp_path / "a" / name).write_bytes(next((tmp_path / "b").glob("*.segment")).read_bytes())
    with pytest.raises(SegmentRefused):
        Shelf.open([PDQ], tmp_path / "a")
    (tmp_path / "a" / name).unlink()
    with pytest.raises(SegmentRefused):
        Shelf.open([PDQ], tmp_path / "a")

    assert len(Shelf.create([PDQ], tmp_path / "a").held.views["pdq"]) == 0
    assert len(Shelf.open([PDQ], tmp_path / "a").held.views["pdq"]) == 0


@pytest.mark.parametrize("name", ["../b/0123456789abcdef.segment", "index.json", "", None, 7])
def test_a_list_names_no_file_but_its_own(tmp_path: Path, name: object) -> None:
    """Even with a checksum that holds."""
    listed = listing.Listing(bytes(16), b"", {"pdq": [listing.Row(name, None)]})  # type: ignore[arg-type]
    listing.write(tmp_path, listed, {"pdq": PDQ})
    with pytest.raises(SegmentRefused):
        Shelf.open([PDQ], tmp_path)


def test_a_crash_before_the_list_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that fails while its files are written is not there, in the process or on disk; it can be made again."""
    values = random_values(20, 32, 1)
    shelf = Shelf.create([PDQ], tmp_path)
    shelf.change({"pdq": Change(values[:10], np.arange(10))})
    with monkeypatch.context() as patch:
        patch.setattr("hashsets.matching.listing.write", _no_space)
        with pytest.raises(OSError, match="no space"):
            shelf.change({"pdq": Change(values[10:], np.arange(10, 20), withdrawn=np.arange(10))})
    before = [(i, i, 0) for i in range(10)]
    assert found(shelf, values, 0) == found(Shelf.open([PDQ], tmp_path), values, 0) == before
    shelf.change({"pdq": Change(values[10:], np.arange(10, 20), withdrawn=np.arange(10))})

    assert found(Shelf.open([PDQ], tmp_path), values, 0) == [(i, i, 0) for i in range(10, 20)]


def _no_space(*_: object) -> bytes:
    raise OSError("no space")


def test_equal_values_are_indexed_once_and_found_on_every_row(tmp_path: Path) -> None:
    """Withdrawn rows of a value are not found, and its others are; saved, opened and merged alike."""
    values = np.repeat(random_values(3, 32, 1), 100, axis=0)
    shelf = Shelf.create([PDQ], tmp_path)
    shelf.change({"pdq": Change(values, np.arange(300))})
    shelf.change({"pdq": Change(values[:60], np.arange(300, 360), withdrawn=np.arange(0, 360, 50))})
    reader = Shelf.open([PDQ], tmp_path)
    layers = reader.held.views["pdq"].layers

    assert max(len(layer.segment.matcher) for layer in layers) <= 3
    assert [id_ for id_ in range(360) if id_ % 50 or id_ >= 300] == sorted(ids_found(reader, values[::100]))


def test_rows_of_equal_values_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    """A file whose postings lead outside the rows is not opened."""
    values = np.repeat(random_values(3, 32, 1), 4, axis=0)
    shelf = Shelf.create([PDQ], tmp_path)
    shelf.change({"pdq": Change(values, np.arange(12))})
    (layer,) = shelf.held.views["pdq"].layers
    shared = layer.segment.postings
    assert shared is not None
    for starts in ([0, 4, 8, 13], [1, 4, 8, 12], [0, 8, 4, 12], [0, 4, 12]):
        bent = changeable.postings.Postings(shared.order, np.array(starts, np.uint32))
        segment = changeable.replace(layer.segment, postings=bent)
        filing.save(tmp_path / "bent", segment, b"stamp")
        with pytest.raises(SegmentRefused):
            filing.load(tmp_path / "bent", PDQ, b"stamp")

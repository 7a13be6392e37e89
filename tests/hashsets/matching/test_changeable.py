"""A changeable index answers as one built afresh, after any sequence of changes, in memory and on its shelf."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hashsets import hashtypes
from hashsets.errors import MatchingError, SegmentRefused
from hashsets.matching import changeable
from hashsets.matching.changeable import ChangeableIndex
from hashsets.matching.reference import BruteForce
from hashsets.matching.shelf import LIST_NAME, Shelf
from tests.hashsets.matching.populations import near, random_values

PDQ = hashtypes.get("pdq")
PHASH = hashtypes.get("phash")
SHA256 = hashtypes.get("sha256")
FAMILY = random_values(6, 8, 1)


def found(index: ChangeableIndex, asked: np.ndarray, radius: int) -> list[tuple[int, int, int]]:
    hits = index.view().query(asked, radius)
    rows = zip(hits.query_rows.tolist(), hits.listed_rows.tolist(), hits.distances.tolist(), strict=True)
    return list(rows)


class Changes(RuleBasedStateMachine):
    """Adds, withdrawals and merges against a dictionary that is brute-forced."""

    def __init__(self) -> None:
        super().__init__()
        self.index = ChangeableIndex(PHASH)
        self.held: list[tuple[int, bytes]] = []
        self.next_id = 0

    @rule(count=st.integers(0, 40), seed=st.integers(0, 999), repeat=st.booleans(), gone=st.sets(st.integers(0, 300)))
    def change(self, count: int, seed: int, repeat: bool, gone: set[int]) -> None:
        values = near(FAMILY, count, 8, seed)
        ids = self.next_id + (np.arange(count) // 2 if repeat else np.arange(count) * 3)
        self.index.change(values=values, ids=ids, withdrawn=np.array(sorted(gone), np.int64))
        self.held = [(key, value) for key, value in self.held if key not in gone]
        self.held += [(int(key), bytes(value)) for key, value in zip(ids, values, strict=True)]
        self.next_id = max(self.next_id, int(ids[-1]) + 1 if count else 0)

    @rule()
    def merge(self) -> None:
        self.index.merge()

    @invariant()
    def equals_brute_force(self) -> None:
        asked = near(FAMILY, 5, 6, 77)
        values = np.frombuffer(b"".join(value for _, value in self.held), np.uint8).reshape(-1, 8)
        hits = BruteForce(PHASH, values).query(asked, 8)
        ids = [self.held[row][0] for row in hits.listed_rows.tolist()]
        expected = list(zip(hits.query_rows.tolist(), ids, hits.distances.tolist(), strict=True))

        assert sorted(expected) == sorted(found(self.index, asked, 8))
        assert [key[:2] for key in sorted(expected)] == [key[:2] for key in found(self.index, asked, 8)]
        assert len(self.held) == len(self.index.view())


Changes.TestCase.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
TestChanges = Changes.TestCase


def test_a_view_never_changes() -> None:
    """What was in force when a view was taken is what it answers for ever."""
    values = random_values(50, 32, 1)
    index = ChangeableIndex(PDQ)
    index.change(values=values[:30], ids=np.arange(30), state=b"one")
    view = index.view()
    index.change(values=values[30:], ids=np.arange(30, 50), withdrawn=np.arange(10), state=b"two")

    assert view.query(values, 0).listed_rows.tolist() == list(range(30))
    assert index.view().query(values, 0).listed_rows.tolist() == list(range(10, 50))
    assert (view.state, index.view().state) == (b"one", b"two")


def test_layers_stay_few() -> None:
    """A hundred small additions leave a handful of layers to search."""
    index = ChangeableIndex(SHA256)
    values = random_values(1000, 32, 1)
    for at in range(0, 1000, 10):
        index.change(values=values[at : at + 10], ids=np.arange(at, at + 10))

    assert len(index.view().layers) <= 6
    assert index.view().query(values, 0).listed_rows.tolist() == list(range(1000))


def test_a_mostly_withdrawn_layer_is_rewritten() -> None:
    """Rows that are gone do not cost memory for ever."""
    index = ChangeableIndex(PDQ)
    index.change(values=random_values(100, 32, 1), ids=np.arange(100))
    index.change(withdrawn=np.arange(60))

    assert [len(layer.segment) for layer in index.view().layers] == [40]
    index.change(withdrawn=np.arange(100))
    assert (len(index.view()), index.view().layers) == (0, ())


def test_what_changes_during_a_merge_stays_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Additions and withdrawals while a large merge is built are in force at once and after it."""
    monkeypatch.setattr(changeable, "MERGE_AT_ONCE_ROWS", 0)
    values = random_values(300, 32, 1)
    index = ChangeableIndex(PDQ)
    index.change(values=values[:100], ids=np.arange(100))
    index.change(values=values[100:200], ids=np.arange(100, 200), withdrawn=np.arange(5))
    building, may_end = threading.Event(), threading.Event()
    build = index._merged_layer

    def slow(layers: object) -> changeable.Layer:
        building.set()
        assert may_end.wait(10)
        return build(layers)  # type: ignore[arg-type]

    monkeypatch.setattr(index, "_merged_layer", slow)
    merging = threading.Thread(target=index.merge)
    merging.start()
    assert building.wait(10)
    index.change(values=values[200:], ids=np.arange(200, 300), withdrawn=np.array([50, 150, 250]))
    expected = [i for i in range(300) if i >= 5 and i not in (50, 150)]
    assert index.view().query(values, 0).listed_rows.tolist() == expected
    may_end.set()
    merging.join(10)

    assert index.view().query(values, 0).listed_rows.tolist() == expected
    assert [len(layer.segment) for layer in index.view().layers] == [195, 100]


def test_wrong_changes_change_nothing() -> None:
    """Falling ids, wrong shapes and wrong dtypes are refused whole: not even the withdrawals happen."""
    values = random_values(10, 32, 1)
    index = ChangeableIndex(PDQ)
    index.change(values=values, ids=np.arange(10, 20))
    for bad in (
        {"values": values, "ids": np.arange(10)},
        {"values": values[:, :8], "ids": np.arange(20, 30)},
        {"values": values, "ids": None},
        {"values": values, "ids": np.arange(20, 30, dtype=np.int32)},
    ):
        with pytest.raises(MatchingError):
            index.change(**bad, withdrawn=np.arange(10, 15))  # type: ignore[arg-type]

    assert found(index, values, 0) == [(i, i + 10, 0) for i in range(10)]


@pytest.mark.parametrize("hash_type", [PDQ, PHASH, SHA256], ids=lambda t: t.name)
def test_a_shelf_outlasts_its_process(tmp_path: Path, hash_type: hashtypes.HashType) -> None:
    """Opened again, an index has every change and its state; another process follows later ones."""
    values = random_values(60, hash_type.size_bytes, 1)
    shelf = Shelf.create(hash_type, tmp_path / "index")
    shelf.change(values=values[:40], ids=np.arange(40), state=b"v1")
    reader = Shelf.open(hash_type, tmp_path / "index")
    shelf.change(values=values[40:], ids=np.arange(40, 60), withdrawn=np.array([3, 45]), state=b"v2")

    assert (reader.view().state, len(reader.view())) == (b"v1", 40)
    assert reader.refresh()
    assert not reader.refresh()
    again = Shelf.open(hash_type, tmp_path / "index")
    for index in (shelf, reader, again):
        assert found(index, values, 0) == [(i, i, 0) for i in range(60) if i != 3]
        assert index.view().state == b"v2"
    again.verify()


def test_an_id_withdrawn_and_added_in_one_step_is_there(tmp_path: Path) -> None:
    """Withdrawals come first: a value listed again under the same id is listed."""
    values = random_values(2, 32, 1)
    shelf = Shelf.create(PDQ, tmp_path)
    shelf.change(values=values[:1], ids=np.array([7]))
    shelf.change(values=values[1:], ids=np.array([7]), withdrawn=np.array([7]))

    assert found(shelf, values, 0) == [(1, 7, 0)]


def test_a_folder_holds_only_what_its_list_names(tmp_path: Path) -> None:
    """Replaced files go; what a crash left goes at the next tidying."""
    values = random_values(200, 32, 1)
    shelf = Shelf.create(PDQ, tmp_path)
    for at in range(0, 200, 20):
        shelf.change(values=values[at : at + 20], ids=np.arange(at, at + 20), withdrawn=np.array([at]))
    (tmp_path / "99999999.segment").write_bytes(b"left by a crash")
    (tmp_path / ".partial-x").write_bytes(b"half")
    shelf.tidy()
    layers = shelf.view().layers
    named = {layer.name for layer in layers} | {layer.withdrawn_name for layer in layers} - {None}

    assert {path.name for path in tmp_path.iterdir()} == named | {LIST_NAME}
    assert (tmp_path / LIST_NAME).stat().st_mode & 0o777 == 0o600


def test_a_torn_or_foreign_shelf_is_refused(tmp_path: Path) -> None:
    """A list cut short, a segment of another index or one that is gone is refused, and can be made anew."""
    values = random_values(20, 32, 1)
    for name in ("a", "b"):
        shelf = Shelf.create(PDQ, tmp_path / name)
        shelf.change(values=values, ids=np.arange(20), withdrawn=np.array([1]))
    with pytest.raises(SegmentRefused):
        Shelf.open(PHASH, tmp_path / "a")
    with pytest.raises(SegmentRefused):
        Shelf.open(PDQ, tmp_path / "nowhere")
    text = (tmp_path / "a" / LIST_NAME).read_bytes()
    (tmp_path / "a" / LIST_NAME).write_bytes(text[:-9])
    with pytest.raises(SegmentRefused):
        Shelf.open(PDQ, tmp_path / "a")
    (tmp_path / "a" / LIST_NAME).write_bytes(text)
    name = next((tmp_path / "a").glob("*.segment")).name
    (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    with pytest.raises(SegmentRefused):
        Shelf.open(PDQ, tmp_path / "a")
    (tmp_path / "a" / name).unlink()
    with pytest.raises(SegmentRefused):
        Shelf.open(PDQ, tmp_path / "a")

    assert len(Shelf.create(PDQ, tmp_path / "a").view()) == 0
    assert len(Shelf.open(PDQ, tmp_path / "a").view()) == 0


def test_a_crash_before_the_list_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that fails while its files are written is not there, in the process or on disk; it can be made again."""
    values = random_values(20, 32, 1)
    shelf = Shelf.create(PDQ, tmp_path)
    shelf.change(values=values[:10], ids=np.arange(10))
    with monkeypatch.context() as patch:
        patch.setattr("hashsets.matching.shelf._replace_file", _no_space)
        with pytest.raises(OSError, match="no space"):
            shelf.change(values=values[10:], ids=np.arange(10, 20), withdrawn=np.arange(10))
    before = [(i, i, 0) for i in range(10)]
    assert found(shelf, values, 0) == found(Shelf.open(PDQ, tmp_path), values, 0) == before
    shelf.change(values=values[10:], ids=np.arange(10, 20), withdrawn=np.arange(10))

    assert found(Shelf.open(PDQ, tmp_path), values, 0) == [(i, i, 0) for i in range(10, 20)]


def _no_space(path: Path, text: bytes) -> None:
    raise OSError("no space")

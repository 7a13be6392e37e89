"""Indexes on disk answer as comparing everything with everything does, whatever was done to the sets, and by whom."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hashsets import indexes
from hashsets.errors import StoreError
from hashsets.indexes import FOLDER_NAME, Indexes
from hashsets.matching import changeable, kernel
from hashsets.matching.listing import LIST_NAME
from hashsets.snapshots import Snapshot, current
from hashsets.store import Store
from hashsets.types import Classification, Delta, Entry, Role, Rule, Shape, Signal, entry_key
from tests.hashsets.oracle import Asked, Meeting, meetings, queries_of
from tests.hashsets.test_snapshots import QUALITIES, RULES, SEEDS, values

DAY = "2026-01-01"
NAMES = ("a", "b")
KEYS = [b"k%d" % number for number in range(6)]
EVERYTHING = [
    Asked(owner, name, bytes([seed[0] ^ flip]) + seed[1:], 70, owner == 2)
    for owner, flip in ((1, 0), (2, 0), (2, 3))
    for name, seeds in SEEDS.items()
    for seed in seeds
]


@st.composite
def pages(draw: st.DrawFn) -> tuple[Entry, ...]:
    """Entries under a few keys, so that they are listed again, changed and relabelled."""
    made = []
    for key in draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True)):
        chosen = draw(st.lists(values(), min_size=1, max_size=4, unique=True))
        quality = draw(st.one_of(st.none(), QUALITIES))
        signals = tuple(Signal(name, value, quality=quality if name == "pdq" else None) for name, value in chosen)
        marks = draw(st.sampled_from([(), (Classification("s", "a"),)]))
        made.append(Entry(key, signals, draw(st.sampled_from(Shape)), classifications=marks))
    return tuple(made)


def found_by(snapshot: Snapshot, asked: list[Asked]) -> list[Meeting]:
    """What a snapshot says, as the oracle says it."""
    return [
        Meeting(hit.owner, hit.set_uid, hit.entry_key, hit.hash_type, hit.distance, hit.exact_types)
        for hit in snapshot.match(queries_of(asked))
    ]


def truth(store: Store, asked: list[Asked]) -> list[Meeting]:
    """What comparing everything with everything says of the sets in force."""
    return meetings([(each, list(store.entries(each.uid))) for each in store.hash_sets() if each.enabled], asked)


class Histories(RuleBasedStateMachine):
    """Everything that can happen to sets, seen by a process that stays and by processes that come new."""

    without_kernel = False

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="indexes-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        self.store = Store.open(self.folder / "home")
        self.importer = Indexes(self.store, persist_from=0)
        self.stays = Indexes(self.store, persist_from=0)
        self.kernel = kernel.native
        if self.without_kernel:
            kernel.native = None
            kernel.available.cache_clear()
        for name in NAMES:
            self.store.create(name)

    def teardown(self) -> None:
        kernel.native = self.kernel
        kernel.available.cache_clear()
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(name=st.sampled_from(NAMES), page=pages(), removed=st.sets(st.sampled_from(KEYS)), complete=st.booleans())
    def refresh(self, name: str, page: tuple[Entry, ...], removed: set[bytes], complete: bool) -> None:
        self.store.stage(name, Delta(page, tuple(removed)))
        self.store.activate(name, complete=complete, checkpoint=None, day=DAY)

    @rule(name=st.sampled_from(NAMES))
    def keep_up(self, name: str) -> None:
        self.importer.keep_up(self.store.hash_set(name).uid)

    @rule(name=st.sampled_from(NAMES), rule=RULES)
    def set_rule(self, name: str, rule: Rule) -> None:
        self.store.set_rule(name, rule)

    @rule(name=st.sampled_from(NAMES), role=st.sampled_from(Role), enabled=st.booleans())
    def set_role(self, name: str, role: Role, enabled: bool) -> None:
        self.store.set_role(name, role)
        self.store.set_enabled(name, enabled)

    @rule(name=st.sampled_from(NAMES))
    def purge(self, name: str) -> None:
        known = self.store.hash_set(name)
        self.store.purge_withdrawn(known.uid, known.version)

    @rule(name=st.sampled_from(NAMES))
    def remove_and_create(self, name: str) -> None:
        self.store.remove(name)
        self.store.create(name)

    @rule(asked=st.lists(st.builds(Asked, st.integers(1, 3), st.sampled_from(["pdq"]), values().map(lambda v: v[1]))))
    def ask(self, asked: list[Asked]) -> None:
        asked = [each for each in asked if len(each.value) == 32]
        assert truth(self.store, asked) == found_by(current(self.store, indexes=self.stays), asked)

    @invariant()
    def equals_comparing_everything(self) -> None:
        expected = truth(self.store, EVERYTHING)
        new = Indexes(self.store, persist_from=0)

        assert expected == found_by(current(self.store, indexes=self.stays), EVERYTHING)
        assert expected == found_by(current(self.store, indexes=new, streamed=True), EVERYTHING)
        assert {} == self.stays.in_memory | new.in_memory
        listed = {each.uid.hex() for each in self.store.hash_sets() if each.version}
        folder = self.store.folder / FOLDER_NAME
        assert not folder.exists() or listed >= {path.name for path in folder.iterdir()}


class HistoriesWithoutKernel(Histories):
    """The same in NumPy."""

    without_kernel = True


Histories.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
HistoriesWithoutKernel.TestCase.settings = settings(max_examples=8, stateful_step_count=10, deadline=None)
TestHistories = Histories.TestCase
TestHistoriesWithoutKernel = HistoriesWithoutKernel.TestCase


# -- single behaviours ------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose set `a` lists the md5s and pdqs 0 to 99."""
    with Store.open(tmp_path / "home") as opened:
        opened.create("a")
        put(opened, *range(100))
        yield opened


def pdq(number: int) -> bytes:
    """Values far from each other."""
    return np.random.default_rng(number).integers(0, 256, 32, np.uint8).tobytes()


def entry(number: int) -> Entry:
    """Of two types."""
    signal = Signal("md5", number.to_bytes(16))
    return Entry(entry_key(signal), (signal, Signal("pdq", pdq(number))))


def put(store: Store, *numbers: int, removed: tuple[int, ...] = ()) -> None:
    """One delta, in force."""
    gone = tuple(entry(number).key for number in removed)
    store.stage("a", Delta(tuple(entry(number) for number in numbers), gone))
    store.activate("a", complete=False, checkpoint=None, day=DAY)


def on_disk(store: Store) -> Indexes:
    """As a new process has them, whatever the size of the sets."""
    return Indexes(store, persist_from=0)


def listed(store: Store, used: Indexes, name: str = "pdq") -> list[int]:
    """Which of the numbers 0 to 199 are found."""
    value = pdq if name == "pdq" else lambda number: number.to_bytes(16)
    asked = [Asked(number, name, value(number)) for number in range(200)]
    return [hit.owner for hit in current(store, indexes=used).match(queries_of(asked))]


def files(store: Store) -> set[Path]:
    """Segments, with their inode, so that a new one under an old name shows."""
    return {path / str(path.stat().st_ino) for path in (store.folder / FOLDER_NAME).glob("*/*.segment")}


def test_a_change_writes_what_changed_alone(store: Store) -> None:
    """A delta leaves the large segment as it was; a rule, a role or a switch leaves everything."""
    stays = on_disk(store)
    assert list(range(100)) == listed(store, stays)
    before = files(store)
    put(store, 100, 101, removed=(3, 4))
    assert [*range(3), *range(5, 102)] == listed(store, on_disk(store)) == listed(store, stays)
    after = files(store)
    assert before <= after
    store.set_rule("a", Rule(radius_bits={"pdq": 0}))
    store.set_role("a", Role.KNOWN_GOOD)
    store.set_enabled("a", False)
    assert [] == listed(store, stays)
    store.set_enabled("a", True)
    assert [*range(3), *range(5, 102)] == listed(store, on_disk(store)) == listed(store, stays)

    assert after == files(store)


def test_a_small_set_has_no_index(store: Store) -> None:
    """It is read from the database as soon; one that became small loses its index."""
    assert list(range(100)) == listed(store, Indexes(store))
    assert not (store.folder / FOLDER_NAME).exists()
    assert list(range(100)) == listed(store, on_disk(store))
    assert list(range(100)) == listed(store, Indexes(store))
    assert [] == list((store.folder / FOLDER_NAME).iterdir())


def test_everything_is_for_us_alone(store: Store) -> None:
    """Folders 0700, files 0600; names are uids and random."""
    listed(store, on_disk(store))
    folder = store.folder / FOLDER_NAME
    found = [folder, *folder.rglob("*")]

    assert {(0o700 if path.is_dir() else 0o600) for path in found} == {path.stat().st_mode & 0o777 for path in found}
    assert [store.hash_set("a").uid.hex()] == [path.name for path in folder.iterdir()]


def test_a_snapshot_answers_as_of_its_version_while_others_go_on(store: Store) -> None:
    """Deltas, merges and a rebuild change nothing of what was pinned."""
    pinned = current(store, indexes=on_disk(store))
    for number in range(100, 130):
        put(store, number, removed=(number - 100,))
        on_disk(store).keep_up(store.hash_set("a").uid)
    next((store.folder / FOLDER_NAME).glob(f"*/{LIST_NAME}")).write_bytes(b"torn")
    asked = queries_of([Asked(number, "pdq", pdq(number)) for number in range(200)])

    assert list(range(30, 130)) == listed(store, on_disk(store))
    assert list(range(100)) == [hit.owner for hit in pinned.match(asked)]


def test_a_restored_database_is_not_answered_from_the_index_of_its_lost_future(store: Store, tmp_path: Path) -> None:
    """Though the version has the same number again, it lists something else."""
    store.close()
    shutil.copy(tmp_path / "home" / "hashsets.db", tmp_path / "copy.db")
    with Store.open(tmp_path / "home") as lost:
        put(lost, 100)
        assert [*range(101)] == listed(lost, on_disk(lost))
    shutil.copy(tmp_path / "copy.db", tmp_path / "home" / "hashsets.db")
    with Store.open(tmp_path / "home") as restored:
        put(restored, 150)

        assert 2 == restored.hash_set("a").version
        assert [*range(100), 150] == listed(restored, on_disk(restored))


def test_changes_too_old_to_be_told_or_too_many_are_no_delta(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is built anew: after a purge, and where reading all is as soon done."""
    uid = store.hash_set("a").uid
    listed(store, on_disk(store))
    before = files(store)
    put(store, 100, removed=(1,))
    store.purge_withdrawn(uid, 2)
    assert [0, *range(2, 101)] == listed(store, on_disk(store))
    purged = files(store)
    assert not before & purged
    monkeypatch.setattr(indexes, "DELTA_MOST", 2)
    put(store, 101, removed=(2,))
    assert purged <= files(store)
    put(store, 102, removed=(3,))
    assert [0, *range(4, 103)] == listed(store, on_disk(store))

    assert not purged & files(store)


def test_a_long_list_is_built_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is cut into pages and segments, each value is there once; merging leaves one segment a type."""
    monkeypatch.setattr(indexes, "BUILD_BYTES", 1_300)
    monkeypatch.setattr("hashsets.store.listing.PAGE_SIGNALS", 7)
    monkeypatch.setattr(changeable, "MERGE_AT_ONCE_ROWS", 0)
    used = on_disk(store)

    assert list(range(100)) == listed(store, used) == listed(store, used, "md5")
    assert 10 == len(files(store))
    used.keep_up(store.hash_set("a").uid)
    assert list(range(100)) == listed(store, used) == listed(store, on_disk(store), "md5")
    assert 2 == len(files(store))
    assert [1, 1] == [len(view.layers) for view in used.current().views[0].values() if view]


def _spoilt(path: Path, content: bytes) -> None:
    """A file in the place of another, as a crash or a restored copy leaves it. One that is cut short while it is mapped
    ends who reads it; nobody of ours does that."""
    path.unlink()
    path.write_bytes(content)


def _cut(path: Path) -> None:
    _spoilt(path, path.read_bytes()[:-1])


def _emptied(path: Path) -> None:
    _spoilt(path, b"")


def _turned(path: Path) -> None:
    whole = path.read_bytes()
    _spoilt(path, whole[:60] + bytes([whole[60] ^ 4]) + whole[61:])


def _foreign(path: Path) -> None:
    _spoilt(path, bytes(range(256)) * 64)


def _removed(path: Path) -> None:
    path.unlink()


def _linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


SPOILT = (_cut, _emptied, _turned, _foreign, _removed, _linked)


@pytest.mark.parametrize("name", [LIST_NAME, "*.segment", "*.withdrawn"])
@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_damaged_files_are_refused_and_made_again(store: Store, name: str, spoil: Callable[[Path], None]) -> None:
    """Cut short, of another index, empty, gone, a link, or with a bit turned in the header."""
    stays = on_disk(store)
    listed(store, stays)
    put(store, 100, removed=(5,))
    expected = [*range(5), *range(6, 101)]
    assert expected == listed(store, stays)
    folder = store.folder / FOLDER_NAME / store.hash_set("a").uid.hex()
    spoil(max(folder.glob(name), key=lambda each: each.stat().st_size))
    used = on_disk(store)

    assert expected == listed(store, used) == listed(store, on_disk(store), "md5") == listed(store, stays)
    assert {} == used.in_memory
    put(store, removed=(6,))
    assert [*range(5), *range(7, 101)] == listed(store, stays) == listed(store, on_disk(store))


def test_verify_finds_a_turned_bit_and_the_index_is_made_again(store: Store) -> None:
    """A payload is not read at every opening; verify reads it, and what is damaged is not used any more."""
    listed(store, on_disk(store))
    uid = store.hash_set("a").uid
    assert [] == on_disk(store).verify(uid)
    path = max((store.folder / FOLDER_NAME / uid.hex()).glob("*.segment"), key=lambda each: each.stat().st_size)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"damaged")
    (problem,) = on_disk(store).verify(uid)

    assert "damaged" in problem
    assert list(range(100)) == listed(store, on_disk(store))
    assert [] == on_disk(store).verify(uid)


def test_an_index_is_read_against_its_checksums_once_a_boot(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an import; what is damaged is made again there and then."""
    uid = store.hash_set("a").uid
    on_disk(store).keep_up(uid)
    before = files(store)
    path = max((store.folder / FOLDER_NAME / uid.hex()).glob("*.segment"), key=lambda each: each.stat().st_size)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"damaged")
    on_disk(store).keep_up(uid)
    assert before == files(store)
    monkeypatch.setattr(indexes, "_boot", lambda: b"another")
    on_disk(store).keep_up(uid)

    assert not before & files(store)
    assert list(range(100)) == listed(store, on_disk(store))
    assert [] == on_disk(store).verify(uid)


def test_damage_is_not_carried_into_a_merge(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be merged is read against its checksum, and built from the database instead."""
    monkeypatch.setattr(indexes, "_boot", lambda: b"")
    uid = store.hash_set("a").uid
    on_disk(store).keep_up(uid)
    put(store, *range(100, 160))
    for path in (store.folder / FOLDER_NAME / uid.hex()).glob("*.segment"):
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(bytes(200))

    assert list(range(160)) == listed(store, on_disk(store))
    assert [] == on_disk(store).verify(uid)


@pytest.mark.parametrize("trouble", ["full", "read-only", "a file in its place"])
def test_a_folder_that_cannot_be_written_costs_no_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """The set is read into memory, the reason is told, and later versions are tried again."""
    with monkeypatch.context() as patch:
        if trouble == "full":
            patch.setattr("os.fsync", _full)
        elif trouble == "read-only":
            patch.setattr("hashsets.indexes.WriterLock", _read_only)
        else:
            (store.folder / FOLDER_NAME).write_bytes(b"")
        used = on_disk(store)
        assert list(range(100)) == listed(store, used) == listed(store, used)
        assert [store.hash_set("a").uid] == list(used.in_memory)
        assert "" not in used.in_memory.values()
        used.keep_up(store.hash_set("a").uid)
    if trouble == "a file in its place":
        (store.folder / FOLDER_NAME).unlink()
    put(store, 100)

    assert list(range(101)) == listed(store, used) == listed(store, on_disk(store))
    assert {} == used.in_memory


def _full(_: int) -> None:
    raise OSError(28, "No space left on device")


def _read_only(_: Path) -> None:
    raise StoreError("a file in the home directory cannot be opened")


def test_the_index_of_a_removed_set_goes_by_whoever_comes_next(store: Store) -> None:
    """Also where the database was removed by hand, and what another left in the folder stays."""
    listed(store, on_disk(store))
    (store.folder / FOLDER_NAME / "notes").mkdir()
    store.remove("a")
    store.create("a")
    assert [] == listed(store, on_disk(store))

    assert ["notes"] == [path.name for path in (store.folder / FOLDER_NAME).iterdir()]


@pytest.mark.parametrize("others", [("import",), ("import", "damage")], ids=["whole", "damaged"])
def test_processes_at_once_answer_as_of_the_version_they_pinned(tmp_path: Path, others: tuple[str, ...]) -> None:
    """One imports, three pin, all the time; also while lists of files are torn under their hands."""
    from tests.hashsets import index_stress  # it imports this module

    with Store.open(tmp_path / "home") as made:
        made.create("a")
        put(made, *sorted(index_stress.listed(1)))
    command = [sys.executable, "-m", "tests.hashsets.index_stress"]
    processes = [
        subprocess.Popen([*command, role, str(tmp_path / "home"), "2"], cwd=Path(__file__).parents[2], stdout=PIPE)
        for role in (*others, "pin", "pin", "pin")
    ]
    done = [int(process.communicate(timeout=120)[0] or 0) for process in processes]

    assert [0] * len(processes) == [process.returncode for process in processes]
    assert min(done) >= index_stress.LEAST_ROUNDS

"""What the first release must show, through the command or the library's front door, on the shared material."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hashsets.refresh import import_list
from hashsets.sources.file import FileSource
from hashsets.types import Mode
from scanner.api import Scanner
from scanner.clock import utc_day
from scanner.config import Config, Home, ScanConfig, SinkConfig, SinkKind
from tests.command import Hashward
from tests.scanner.fakes import MovableClock
from tests.shared_material import corpus, media, vectors

CANARY = "canary-9e2b"
SET = "alert"

pytestmark = pytest.mark.timeout(400)  # each some seconds where nothing else runs


def distance(one: str, other: str) -> int:
    """Differing bits of two hex values."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.fixture
def hashward(tmp_path: Path) -> Hashward:
    """The command over a home of its own."""
    return Hashward(tmp_path / "home")


def signals_of(hashward: Hashward, *words: object) -> dict[str, dict[str, Any]]:
    """`hash --json` by path."""
    done = hashward.real("hash", "--json", *words)

    assert (0, "") == (done.code, done.err)
    return {line["path"]: line for line in done.objects}


# -- 3: the published values -------------------------------------------------------------------------------------------


def test_published_pdq_values_come_out(hashward: Hashward) -> None:
    """Bit for bit where the published value was made at full resolution, within the bound the sheet gives elsewhere."""
    with vectors("pdq.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    found = signals_of(hashward, "--exact", media("images"))
    off = {
        row["image"]: bits
        for row in rows
        if (bits := distance(row["pdq_hex"], found[str(media("images", row["image"]))]["pdq"]["hex"]))
        > (0 if row["downscale"] == "full" else int(row["max_distance"]))
    }

    assert len(rows) > 50
    assert {"full"} < {row["downscale"] for row in rows}
    assert {} == off


# -- 4: every pair, no more --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("radius", "pairs"), [(0, 50), (15, 151), (31, 250), (47, 287), (63, 352)])
def test_needles_meet_the_haystack_exactly(
    radius: int, pairs: int, tmp_path_factory: pytest.TempPathFactory, needles: Hashward
) -> None:
    """The pairs within each radius are those that brute force counts."""
    done = needles.real("lookup", "pdq", "--radius", radius, "--json", "-", stdin=vectors("needles.txt").read_bytes())
    hits = [hit for line in done.objects for hit in line["hits"]]

    assert 1 == done.code
    assert 100 == len(done.objects)
    assert pairs == len(hits)
    assert all(hit["distance"] <= radius for hit in hits)


@pytest.fixture(scope="module")
def needles(tmp_path_factory: pytest.TempPathFactory) -> Hashward:
    """A home that lists the haystack."""
    hashward = Hashward(tmp_path_factory.mktemp("haystack") / "home")

    assert 0 == hashward("hashset", "import", "haystack", vectors("haystack.txt"), "--type", "pdq").code
    return hashward


# -- 5: frames ---------------------------------------------------------------------------------------------------------


def test_frames_are_the_published_ones(hashward: Hashward) -> None:
    """The same frame numbers, and every frame of quality 50 or more within 31 bits of what another implementation made.

    That one lets FFmpeg scale each frame to 512 x 512 first, so that bits differ. Measured: median 0, maximum 12 bits.
    """
    found = signals_of(hashward, "--dense", media("videos"))
    distances = []
    for sheet in sorted(vectors("vpdq").iterdir()):
        published = [line.split(",") for line in sheet.read_text().split()]
        frames = {frame["frame"]: frame for frame in found[str(media("videos", f"{sheet.stem}.mp4"))]["frames"]}

        assert [int(number) for number, *_ in published] == sorted(frames), sheet.stem
        distances += [
            distance(value, frames[int(number)]["pdq"]) for number, quality, value, _ in published if int(quality) >= 50
        ]

    assert len(distances) > 1000
    assert 0 == statistics.median(distances)
    assert max(distances) <= 12


# -- 7: a list that comes later ----------------------------------------------------------------------------------------


def test_a_list_that_comes_later_finds_what_was_scanned_without_opening_it(hashward: Hashward, tmp_path: Path) -> None:
    """Ten contents of a scanned tree are listed afterwards: ten match, each place gets a report, no file is opened."""
    scanned = hashward.real("scan", "--json", media()).object
    by_content: dict[str, list[str]] = {}
    for path, line in signals_of(hashward, media()).items():
        by_content.setdefault(line["sha256"], []).append(path)
    several = sorted(by_content, key=lambda sha256: (-len(by_content[sha256]), sha256))[:10]
    (tmp_path / "list").write_text("".join(f"sha256 {sha256}\n" for sha256 in several))
    hashward("hashset", "import", SET, tmp_path / "list", "--approve")
    rescanned = hashward.real("rescan", "--json").object

    assert len(by_content) == scanned["contents"]
    assert any(len(by_content[sha256]) > 1 for sha256 in several)
    assert (10, 10, 0) == tuple(rescanned[key] for key in ("matched", "matches_added", "opened_files"))
    assert sum(len(by_content[sha256]) for sha256 in several) == hashward.json("status")["reports"]["pending"]


# -- 8: whatever lies around -------------------------------------------------------------------------------------------


def test_a_corpus_of_damage_has_one_outcome_a_file(hashward: Hashward) -> None:
    """Damaged, hostile and odd files: the scan ends, every file is counted once, and every reason is in `status`."""
    files = sum(1 for path in corpus().rglob("*") if path.is_file() and not path.is_symlink())
    done = hashward.real("scan", "--json", corpus())
    scanned = done.object
    standing = hashward.json("status")
    outcomes = standing["outcomes"]
    reasons = Counter(outcomes["partial"]) + Counter(outcomes["unscannable"])

    assert (3, "") == (done.code, done.err)
    assert files == scanned["assets"] == scanned["scanned"] == standing["assets"]
    assert files == sum(outcomes[key] for key in ("matched", "clear", "not_media")) + reasons.total()
    assert {"undecodable", "truncated"} <= reasons.keys()
    assert not {"io", "changed", "permission", "crash"} & reasons.keys()
    assert reasons == Counter(scanned["partial"]) + Counter(scanned["unscannable"])


# -- 9: nothing local leaves -------------------------------------------------------------------------------------------


class Installation:
    """A home whose reports go to a folder."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.sent = folder / "sent"
        sink = SinkConfig("provider", SinkKind.JSONL, path=self.sent, hash_sets=frozenset({SET}))
        config = Config(scan=ScanConfig(workers=workers), sinks=(sink,))
        self.scanner = Scanner(Home(folder / "home"), config, MovableClock())

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        self.scanner.close()

    def list(self, file: Path) -> None:
        """Import a list."""
        source, day = FileSource(file, complete=True), utc_day(self.scanner.clock)
        import_list(self.scanner.store, SET, source, day=day, mode=Mode.ACTIVE)

    def tell(self, seed: int) -> dict[str, bytes]:
        """Seal with a random source, deliver, and give what left: batches by the name of their file."""
        assert self.scanner.seal(random.Random(seed))
        assert 1 == self.scanner.deliver().delivered
        return {file.name: file.read_bytes() for file in self.sent.iterdir()}


def place(files: list[bytes], folder: Path, seed: int, exif: bytes) -> None:
    """Lay the same contents out under names, folders, owners and times drawn from `seed`."""
    drawn = random.Random(seed)
    for content in drawn.sample(files, len(files)):
        below = folder / f"{CANARY}-{drawn.randrange(3)}" / f"user-{CANARY}-{drawn.randrange(3)}"
        below.mkdir(parents=True, exist_ok=True)
        path = below / f"{CANARY}-{drawn.randrange(2**64):x}.jpg"
        path.write_bytes(content)
        os.utime(path, ns=(drawn.randrange(2**60), drawn.randrange(2**60)))
        if os.geteuid() == 0:
            os.chown(path, drawn.randrange(1000, 2000), drawn.randrange(1000, 2000))
    assert any(exif in content for content in files)


@pytest.fixture
def files() -> list[bytes]:
    """Some pictures, one of them twice, and one with the canary in its EXIF."""
    chosen = sorted(media("images", "bridge-mods").glob("*.jpg"))[:6]
    contents = [path.read_bytes() for path in chosen]
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0\x0b\0\0\0\x1a\0\0\0\0\0\0\0" + CANARY.encode()
    marked = contents[0][:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + contents[0][2:]
    return [*contents, contents[-1], marked]


def test_what_leaves_is_the_same_whatever_the_files_are_called(files: list[bytes], tmp_path: Path) -> None:
    """Other paths, names, owners, times, order and worker counts: byte for byte the same batches, and no canary."""
    listed = tmp_path / "list.csv"
    hashes = signals_of(Hashward(tmp_path / "none"), media("images", "bridge-mods", "aaa-orig.jpg"))
    (original,) = hashes.values()
    listed.write_text(f"type,value,ref\npdq,{original['pdq']['hex']},ref-1\nsha256,{original['sha256']},ref-2\n")
    said = []
    for seed, workers in ((1, 1), (2, 3)):
        here = tmp_path / f"installation-{seed}"
        place(files, here / "storage", seed, CANARY.encode())
        with Installation(here, workers) as installation:
            installation.list(listed)
            scanned = installation.scanner.scan([here / "storage"])
            said.append(installation.tell(seed=7))

    assert len(files) == scanned.outcomes.matched
    assert said[0] == said[1]
    (batch,) = said[0].values()

    assert len(files) + 1 == len(batch.splitlines())
    assert CANARY.encode() not in batch


def test_a_canary_is_in_no_output_of_any_command(files: list[bytes], tmp_path: Path) -> None:
    """Names, folders and EXIF below the root show up in nothing that is printed, logged or sent."""
    hashward = Hashward(tmp_path / "home")
    hashward.home.mkdir()
    (hashward.home / "config.toml").write_text(
        f'[[sink]]\nname = "provider"\nkind = "jsonl"\npath = "sent"\nhash_sets = ["{SET}"]\n'
    )
    place(files, tmp_path / "storage", 1, CANARY.encode())
    torn = tmp_path / "storage" / f"{CANARY}.jpg"
    torn.write_bytes(files[0][:3000])
    (tmp_path / "storage" / f"{CANARY}.link").symlink_to(torn)
    os.mkfifo(tmp_path / "storage" / f"{CANARY}.fifo")
    listed = tmp_path / "list"
    listed.write_text("".join(f"pdq {line['pdq']['hex']}\n" for line in signals_of(hashward, torn.parent).values()))
    commands = (
        f"hashset import {SET} {listed} --approve",
        f"scan {tmp_path}/storage",
        f"scan {tmp_path}/storage --json",
        "rescan",
        "status",
        "status --json",
        "root list --json",
        "reports list --json",
        "reports seal",
        "reports deliver",
        f"hashset verify {SET}",
        "selftest",
        f"scan {tmp_path}/storage/{CANARY}.fifo",
        f"scan {tmp_path}/storage/not-{CANARY}",
    )
    ended = {command: hashward(*command.split()) for command in commands}
    shutil.rmtree(tmp_path / "storage")
    ended["scan"] = hashward("scan")
    sent = b"".join(file.read_bytes() for file in (hashward.home / "sent").iterdir())

    assert {0, 1, 2} <= {done.code for done in ended.values()}
    assert [] == [command for command, done in ended.items() if CANARY in done.out + done.err]
    assert sent
    assert CANARY.encode() not in sent
    assert json.loads(sent.splitlines()[0])["data"]["hash_set"] == SET


# -- 10: storage that is not there -------------------------------------------------------------------------------------


@pytest.fixture
def scanned(hashward: Hashward, tmp_path: Path) -> tuple[Hashward, Path]:
    """A scanned root with sealed and with pending reports."""
    storage = tmp_path / "storage"
    shutil.copytree(media("images", "bridge-mods"), storage)
    line = next(iter(signals_of(hashward, storage / "aaa-orig.jpg").values()))
    (tmp_path / "list").write_text(f"pdq {line['pdq']['hex']}\n")
    (tmp_path / "more").write_text(f"sha256 {line['sha256']}\n")
    hashward("hashset", "import", SET, tmp_path / "list", "--approve")
    hashward("root", "add", "pictures", storage)
    hashward("scan")
    hashward("reports", "seal")
    hashward("hashset", "import", SET, tmp_path / "more", "--add")
    hashward("rescan")
    return hashward, storage


@pytest.mark.parametrize("how", ["gone", "empty", "a file"])
def test_storage_that_is_not_there_loses_nothing(how: str, scanned: tuple[Hashward, Path]) -> None:
    """A root renamed away, an empty mount point or something else in its place: suspect, and all stands as before."""
    hashward, storage = scanned
    before = hashward.json("status")
    storage.rename(storage.with_name("away"))
    if how == "empty":
        storage.mkdir()
    elif how == "a file":
        storage.write_bytes(b"")
    again = [hashward("scan", "--json") for _ in range(2)]
    after = hashward.json("status")

    assert [3, 3] == [done.code for done in again]
    assert [0, 0] == [done.object["matches_withdrawn"] for done in again]
    assert before["reports"] == after["reports"]
    assert {"active": before["matches"]["active"]} == before["matches"] == after["matches"]
    assert before["reports"]["pending"] == 1
    assert before["reports"]["sealed"] > 1
    assert before["assets"] == after["assets"]
    assert after["roots"][0]["suspect"] is not None
    assert "suspect" in hashward("status").out

    if how != "gone":
        storage.rmdir() if storage.is_dir() else storage.unlink()
    storage.with_name("away").rename(storage)
    assert 1 == hashward("scan").code
    assert hashward.json("status")["roots"][0]["suspect"] is None

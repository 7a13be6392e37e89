"""`python -m bench encryption`: what it costs to keep the databases under a key, or locations sealed.

The same work of ours over a plain home, one under a key and one with sealed locations, in turns: contents recorded,
files that a walk finds as they were, a list imported. Beside it what the processor gives AES-XTS, by a library with the
same instructions: the floor of an encrypted file system (dm-crypt, fscrypt), which enciphers what reaches the disk and
nothing that lies in a cache.
"""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from bench import measure
from bench.measure import WrongAnswer
from bench.works import Figure
from hashsets.ciphers import Key
from hashsets.refresh import import_list
from hashsets.sources import FileSource
from hashsets.store import Store
from hashsets.types import Signal
from scanner.accountability import sealed_locations
from scanner.accountability.location_file import LocationFile
from scanner.clock import SystemClock
from scanner.ledger import Ledger, Place
from scanner.ledger.assets import Root
from scanner.ledger.ledger import Pinned, Recording
from scanner.ledger.locations import Keys
from scanner.ledger.outbox import Occasion
from scanner.opening import FileStat
from scanner.types import WHOLE, Digests, Fingerprint, MediaKind, Trigger

_AT_ONCE = 64  # contents a transaction, as a walk records them
_PIECES = 128  # mebibytes enciphered
_DAY = Occasion(Trigger.SCAN, "2026-01-01")


def run(contents: int = 150_000, rounds: int = 2) -> list[Figure]:
    """Each work's cost under a key against without one (ratio 1: as cheap). Raises WrongAnswer, ImportError."""
    key = Key(os.urandom(32))
    kinds = {"plain": (None, None), "encrypted": (key, None), "sealed": (None, LocationFile)}
    costs: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (with_key, broker) in kinds.items():
            with tempfile.TemporaryDirectory() as folder:
                keys = None if broker is None else broker(Path(folder)).public
                costs[kind].append(_works(Path(folder), contents, with_key, keys))
    plain, under_key, sealed = (
        {name: median(each[name] for each in costs[kind]) for name in costs[kind][0]} for kind in kinds
    )
    xts = _xts_megabytes_a_second()
    figures = []
    for name in ("record", "walk", "import"):
        floor = plain[f"{name}_megabytes"] / xts
        more = {
            "contents": contents,
            "seconds": plain[name],
            "encrypted_seconds": under_key[name],
            "megabytes": plain[f"{name}_megabytes"],
            "xts_megabytes_a_second": xts,
            "file_system_ratio": (plain[name] + floor) / plain[name],
        }
        figures.append(Figure(f"encryption {name}", "the same without a key", under_key[name] / plain[name], 1.1, more))
    for name in ("record", "walk"):
        more = {"contents": contents, "seconds": plain[name], "sealed_seconds": sealed[name],
                "megabytes": plain[f"{name}_megabytes"], "sealed_megabytes": sealed[f"{name}_megabytes"]}  # fmt: skip
        figures.append(Figure(f"sealed {name}", "the same readable", sealed[name] / plain[name], 1.5, more))
    return figures


def _works(home: Path, contents: int, key: Key | None, keys: Keys | None) -> dict[str, float]:
    """CPU seconds of each work in a new home, and the megabytes that it wrote or read."""
    listed = home / "list"
    with listed.open("w") as file:
        file.writelines(f"sha256 {hashlib.sha256(b'l%d' % number).hexdigest()}\n" for number in range(contents))
    if keys is not None:
        with closing(Ledger.open(home, key)) as empty:
            sealed_locations.seal(empty.db, keys(), SystemClock())
    with Store.open(home, key=key) as store, closing(Ledger.open(home, key, keys)) as ledger:
        root = ledger.places.add_root(os.fsencode(home / "none"))
        pinned = Pinned(store.catalogue(), ())
        found: dict[str, float] = {}
        found["record"] = measure.cpu_seconds(lambda: _record(ledger, store, root, pinned, contents))
        ledger.db.checkpoint()
        found["record_megabytes"] = found["walk_megabytes"] = (home / "ledger.db").stat().st_size / 1e6
        found["walk"] = measure.cpu_seconds(lambda: _walk(ledger, root, contents))
        source = FileSource(listed, complete=True)
        found["import"] = measure.cpu_seconds(lambda: import_list(store, "measured", source, day=_DAY.day))
        found["import_megabytes"] = sum(file.stat().st_size for file in home.glob("hashsets.db*")) / 1e6
    return found


def _record(ledger: Ledger, store: Store, root: Root, pinned: Pinned, contents: int) -> None:
    for start in range(0, contents, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, contents))
        ledger.record([_recording(root, number) for number in numbers], pinned, _DAY, store.catalogue)


def _walk(ledger: Ledger, root: Root, contents: int) -> None:
    """What a walk asks of each file that has not changed, in an order the pages do not have."""
    numbers = list(range(contents))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        asset = ledger.places.find(root.id, _key(number))
        if asset is None or asset.content_seq is None:
            raise WrongAnswer("a file that was recorded is not found")


def _key(number: int) -> bytes:
    return b"folder-%d/file-%d.jpg" % (number % 100, number)


def _recording(root: Root, number: int) -> Recording:
    def drawn() -> Iterator[bytes]:
        for turn in range(2):
            yield hashlib.sha256(b"%d %d" % (number, turn)).digest()

    signals = tuple(Signal("pdq", value, "image/pdq/1", 90) for value in drawn())
    name = _key(number)
    digests = Digests(
        sha256=hashlib.sha256(name).digest(),
        sha1=hashlib.sha1(name).digest(),
        md5=hashlib.md5(name).digest(),
        size_bytes=number,
    )
    seen = Fingerprint(MediaKind.IMAGE, WHOLE, signals, made=frozenset({"image/pdq/1"}))
    return Recording(Place(root.id, name, 1, FileStat(1, number, 100, 1, 1), True), digests, seen, ())


def _xts_megabytes_a_second() -> float:
    """AES-256 in XTS mode, as dm-crypt and fscrypt use it, by a library with the same instructions."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    algorithm, piece = algorithms.AES(os.urandom(64)), os.urandom(2**20)

    def encipher() -> None:
        for number in range(_PIECES):
            encryptor = Cipher(algorithm, modes.XTS(number.to_bytes(16, "little"))).encryptor()
            encryptor.update(piece)

    return _PIECES * len(piece) / 1e6 / measure.cpu_seconds(encipher)

"""Lists of gigabytes are read in memory that does not grow with them."""

from __future__ import annotations

import io
import resource
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from hashsets.formats import Options, Reading, read_list
from hashsets.refresh import import_list
from hashsets.sources.file import FileSource
from hashsets.store import Store
from tests import proofs

HEAD = (
    b'\xef\xbb\xbf{"@odata.context":"http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Media",'
    b'"value":['
)
PADDING = "x" * 700  # what is passed over: file names, series, comments
OPTIONS = Options(categories={"1": "1", "2": "2"})


class Written(io.RawIOBase):
    """A VICS document of so many records, made as it is read: it is nowhere whole."""

    def __init__(self, records: int) -> None:
        self._pieces = self._written(records)
        self._left = b""
        self.bytes = 0

    def _written(self, records: int) -> Iterator[bytes]:
        yield HEAD
        for first in range(0, records, 500):
            group = range(first, min(first + 500, records))
            yield (",".join(map(_record, group)) + ("," if group.stop < records else "")).encode()
        yield b"]}"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._left = self._left or next(self._pieces, b"")
        part, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(part)] = part
        self.bytes += len(part)
        return len(part)


def _record(number: int) -> str:
    return (
        f'{{"MediaID":{number},"Category":{number % 3},"MD5":"{number * 0x9E3779B97F4A7C15 + 2**100:032X}",'
        f'"SHA1":"{number * 0xBF58476D1CE4E5B9 + 2**140:040X}","MediaFiles":[{{"FileName":"{PADDING}"}}],"Tags":"a"}}'
    )


def _stream(records: int) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(Written(records), 256 * 1024))


def _peak_bytes(records: int) -> int:
    tracemalloc.start()
    try:
        entries = sum(1 for _ in read_list(_stream(records), OPTIONS, Reading()))
        return tracemalloc.get_traced_memory()[1] if entries else 0
    finally:
        tracemalloc.stop()


def test_a_vics_list_of_any_length_is_read_in_the_same_memory() -> None:
    """Twelve times the records, the same peak within a tenth."""
    _peak_bytes(500)  # what is loaded once
    short, long = _peak_bytes(1_000), _peak_bytes(12_000)

    assert 0 < long < 1.1 * short + 2**18


@pytest.mark.prove
def test_a_vics_list_of_gigabytes_is_imported_in_constant_memory(tmp_path: Path) -> None:
    """Almost three gigabytes into the store, indexed; the process at most so large, whatever the list."""
    records = 3_400_000
    raw = Written(records)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    with Store.open(tmp_path / "home") as store:
        source = FileSource(cast(BinaryIO, io.BufferedReader(raw, 256 * 1024)), complete=True, options=OPTIONS)
        entries = import_list(store, "vics", source, day="2026-01-01").entries
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    proofs.record(
        "imports", "a VICS list of gigabytes", gigabytes=round(raw.bytes / 1e9, 2), entries=entries,
        megabytes=round(megabytes), megabytes_before=round(before), seconds=round(time.perf_counter() - started),
    )  # fmt: skip

    assert raw.bytes > 2.9e9
    assert sum(1 for number in range(records) if number % 3) == entries
    assert megabytes < 700

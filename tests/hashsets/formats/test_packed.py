"""Packed lists: unpacked as they are read, or named for what they are."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib

import pytest

from hashsets.formats.packed import GRACE_BYTES
from tests.hashsets.formats.reading import CANARY, MD5, read, refused, refused_at_every_cut, signals

LIST = "".join(f"{number:032x}\n" for number in range(1, 3000)) + MD5 + "\n"


def zipped(*members: tuple[str, str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive of texts."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, text in members:
            archive.writestr(name, text)
    return made.getvalue()


class Pipe(io.RawIOBase):
    """A stream that can only be written, as a ZIP made in a pipe sees it."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, part: object) -> int:
        self.content += bytes(part)  # type: ignore[call-overload]
        return len(bytes(part))  # type: ignore[call-overload]


def piped() -> bytes:
    """A ZIP archive whose sizes and checksum follow its file."""
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        archive.writestr(CANARY, LIST)
    return pipe.content


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(LIST.encode()),
        gzip.compress(LIST[:330].encode()) + gzip.compress(LIST[330:].encode()),
        gzip.compress(LIST.encode()) + bytes(5000),
        gzip.compress(LIST.encode("utf-16")),
        zipped((CANARY, LIST)),
        piped(),
    ],
    ids=["gzip", "two members", "padded", "utf-16", "zip", "zip from a pipe"],
)
def test_a_packed_list_is_read(content: bytes) -> None:
    """gzip of any number of members, and ZIP of one file."""
    entries, _ = read(content)

    assert 3000 == len(entries)
    assert signals(("md5", MD5)) == entries[-1].signals


def test_a_packed_list_that_was_cut_off_imports_nothing() -> None:
    """Wherever the cut fell, checksums and the archive's end included."""
    short = "".join(f"{number * 7919:032x}\n" for number in range(1, 30))
    for content in (gzip.compress(short.encode()), zipped(("a", short))):
        refused_at_every_cut(content, first=4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped(("a", LIST), ("b", LIST)), "several"),
        (zipped(("[Content_Types].xml", LIST), ("b", LIST)), "spreadsheet"),
        (zipped(("a", LIST), method=zipfile.ZIP_STORED), "unpack it first"),
        (zipped(), "without a file"),
        (gzip.compress(gzip.compress(LIST.encode())), "twice"),
        (gzip.compress(LIST.encode()) + b"more", "damaged"),
        (gzip.compress(LIST.encode())[:-8] + bytes(8), "damaged"),
        (zipped(("a", LIST)).replace(zlib.crc32(LIST.encode()).to_bytes(4, "little"), bytes(4)), "damaged"),
        (b"\x28\xb5\x2f\xfd" + bytes(9), "zstd"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(9), "7-Zip"),
        (b"%PDF-1.7 ", "PDF"),
    ],
)
def test_what_is_not_unpacked_is_named(content: bytes, said: str) -> None:
    """So that the operator knows what to do with it."""
    assert said in refused(content)


def test_a_list_that_unpacks_without_end_is_refused() -> None:
    """A bomb of blanks ends at the share that no list reaches."""
    blank = b" " * 60_000 + b"\n"
    bomb = gzip.compress(f"{MD5}\n".encode() + blank * (GRACE_BYTES // len(blank) + 50))

    assert "times its size" in refused(bomb)

"""What md5sum, sha1sum and sha256sum write, in both of their styles, and what hashdeep writes.

    <hex>  name      <hex> *name      \\<hex>  name with escapes      SHA256 (name) = <hex>      SHA2-256(name)= <hex>
    %%%% HASHDEEP-1.0 / %%%% size,md5,sha256,filename / 1067,<md5>,<sha256>,name, commas and all

Rules
- File names are passed over, whatever their encoding.
- The first style does not name its type. These programs make no perceptual values, so the length says it: 32, 40 and 64
  digits are md5, sha1 and sha256, unless the operator said otherwise.
- These programs end every line. A last line without its end was cut off, perhaps within a name, where nothing else
  would show it.

Source: coreutils manual, "md5 output modes"; hashdeep's FILEFORMAT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from hashsets import hashtypes
from hashsets.errors import ListError
from hashsets.formats.base import Options, Reading, Reject
from hashsets.formats.records import Cell, entry_of_cells
from hashsets.formats.text import encoding_of, head_lines, lines
from hashsets.types import Entry

_GNU = re.compile(r"\\?([0-9A-Za-z]{16,256}) [ *](?=.)")
_BSD = re.compile(r"\\?([A-Za-z0-9-]{2,16}(?:/[0-9]{3})?) ?\(.*\) ?= ?([0-9A-Za-z+/=]{16,256})\s*$", re.DOTALL)
_BY_DIGITS = {32: "md5", 40: "sha1", 64: "sha256", 56: "sha224", 96: "sha384", 128: "sha512"}
_OPENSSL = {"sha2_224": "sha224", "sha2_256": "sha256", "sha2_384": "sha384", "sha2_512": "sha512"}


class Checksums:
    """See the module."""

    name = "checksums"
    fragments = True

    def fits(self, head: bytes) -> bool:
        """Whether one of the first lines is a checksum with a file name."""
        return any(_cell(line, None) is not None for line in head_lines(head)[:20])

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry]:
        """See Format."""
        given = None if options.type_name is None else hashtypes.get(options.type_name).name
        for number, line in lines(stream, lenient=True):
            refuse_unended(line, number)
            if not line.strip() or line.startswith("#"):
                continue
            cell = _cell(line, given)
            if cell is None:
                reading.reject(Reject.NOT_A_VALUE, number)
                continue
            entry = entry_of_cells((cell,), number, reading)
            if entry is not None:
                yield entry


def refuse_unended(line: str, number: int) -> None:
    """Refuse the list where a program's last line lacks its end."""
    if not line.endswith("\n"):
        raise ListError(f"the list ends in the middle of line {number}: it was cut off; fetch it again")


def _cell(line: str, given: str | None) -> Cell | None:
    """The type and value of a line."""
    gnu = _GNU.match(line)
    if gnu is not None:
        name = given or _BY_DIGITS.get(len(gnu[1]))
        return None if name is None else (name, gnu[1])
    bsd = _BSD.match(line)
    if bsd is None:
        return None
    folded = bsd[1].lower().replace("-", "_").replace("/", "_")
    known = hashtypes.find(_OPENSSL.get(folded, folded))
    return None if known is None else (known.name, bsd[2])


class Hashdeep:
    """See the module."""

    name = "hashdeep"
    fragments = True

    def fits(self, head: bytes) -> bool:
        """Whether the list begins with hashdeep's own first line."""
        return head.decode(encoding_of(head), errors="ignore").lstrip().startswith("%%%% HASHDEEP-1.")

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry]:
        """See Format."""
        numbered = lines(stream, lenient=True)
        columns = _columns(numbered)
        last = 1
        for number, line in numbered:
            refuse_unended(line, number)
            last = number
            if not line.strip() or line[0] in "#%":  # comments, and the total another writer adds
                continue
            fields = line.split(",", len(columns) + 1)
            if len(fields) != len(columns) + 2 or not fields[0].isdigit():
                reading.reject(Reject.WRONG_COLUMN_COUNT, number)
                continue
            entry = entry_of_cells(zip(columns, fields[1:-1], strict=True), number, reading)
            if entry is not None:
                yield entry
        if last == 1:
            raise ListError("the list ends after its header: it was cut off; fetch it again")


def _columns(numbered: Iterator[tuple[int, str]]) -> list[str]:
    """The types between `size` and `filename`, as the second line names them."""
    next(numbered, None)
    number, line = next(numbered, (2, ""))
    names = line.removeprefix("%%%%").strip().lower().split(",")
    if not line.startswith("%%%%") or len(names) < 3 or names[0] != "size" or names[-1] != "filename":
        raise ListError(f"line {number} does not name hashdeep's columns, size first and filename last")
    return names[1:-1]

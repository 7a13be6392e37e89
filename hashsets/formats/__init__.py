"""List formats: bytes become entries. `read_list` recognises the format by content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from hashsets.errors import ListError
from hashsets.formats.base import HEAD_BYTES, DatabaseReader, Format, Options, Reading, Reject, Removal
from hashsets.formats.checksums import Checksums, Hashdeep
from hashsets.formats.columns import Columns
from hashsets.formats.databases import MAGIC, read_database
from hashsets.formats.encase import EnCase
from hashsets.formats.ndjson import NDJSON
from hashsets.formats.packed import unpacked
from hashsets.formats.plain import Plain
from hashsets.formats.tabular import COLUMNS, Tabular, folded_header
from hashsets.formats.text import encoding_of, head_lines, rejoin
from hashsets.formats.threatexchange import ThreatExchange
from hashsets.formats.vics import VICS
from hashsets.formats.vpdq import VPDQ
from hashsets.types import Block, Entry

__all__ = [
    "FORMATS", "DatabaseReader", "Format", "Options", "Reading", "Reject", "Removal", "read_list", "recognise",
]  # fmt: skip

#: In the order in which they are tried: what has a mark of its own first, bare values last.
FORMATS: tuple[Format, ...] = (
    EnCase(), ThreatExchange(), VICS(), NDJSON(), Hashdeep(), Tabular(), Columns(), VPDQ(), Checksums(), Plain(),
)  # fmt: skip


def recognise(head: bytes) -> Format:
    """The format of a list that begins so. Raises ListError when it is none we know."""
    if not head.strip():
        raise ListError("the list is empty")
    for known in FORMATS:
        if known.fits(head):
            return known
    if b"\0" in head and encoding_of(head) != "utf-16":
        raise ListError("the list is not text: it holds NUL bytes (UTF-16 must begin with its mark)")
    first = head_lines(head)[:1]
    if not first and len(head) == HEAD_BYTES:
        return Plain()  # a long preamble of comments: what follows will be judged line by line
    if not first:
        raise ListError("the list has no record: only blank lines and comments")
    if len(folded_header(first[0])) > 1 and not first[0].startswith(("{", "[")):
        raise ListError(f"the list looks like CSV without a header: its first line must name {', '.join(COLUMNS[:2])}")
    names = ", ".join(known.name for known in FORMATS)
    raise ListError(f"the list is in no known format ({names}): its first lines hold neither a header nor a hash value")


def read_list(stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry | Removal | Block]:
    """The entries of a list, whatever its format; at the end the list as a whole is judged (`Reading.finish`)."""
    head = _beginning(stream)
    within = unpacked(head, stream)
    if within is not None:
        stream, head = within, _beginning(within)
        if unpacked(head, stream) is not None:
            raise ListError("the list is packed twice: unpack it first")
    if head.startswith(MAGIC):
        yield from read_database(stream, options, reading)
    else:
        yield from recognise(head).read(rejoin(head, stream), options, reading)
    reading.finish()


def _beginning(stream: BinaryIO) -> bytes:
    head = stream.read(HEAD_BYTES)
    while len(head) < HEAD_BYTES and (more := stream.read(HEAD_BYTES - len(head))):
        head += more
    return head

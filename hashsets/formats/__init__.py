"""List formats: bytes become entries. `read_list` recognises the format by content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from hashsets.errors import ListError
from hashsets.formats.base import HEAD_BYTES, Format, Options, Reading, Reject
from hashsets.formats.plain import Plain
from hashsets.formats.tabular import COLUMNS, Tabular, folded_header
from hashsets.formats.text import head_lines, rejoin
from hashsets.types import Entry

__all__ = ["FORMATS", "Format", "Options", "Reading", "Reject", "read_list", "recognise"]

#: In the order in which they are tried.
FORMATS: tuple[Format, ...] = (Tabular(), Plain())


def recognise(head: bytes) -> Format:
    """The format of a list that begins so. Raises ListError when it is none we know."""
    if not head.strip():
        raise ListError("the list is empty")
    for known in FORMATS:
        if known.fits(head):
            return known
    first = head_lines(head)[:1]
    if not first and len(head) == HEAD_BYTES:
        return Plain()  # a long preamble of comments: what follows will be judged line by line
    if not first:
        raise ListError("the list has no record: only blank lines and comments")
    if len(folded_header(first[0])) > 1:
        raise ListError(f"the list looks like CSV without a header: its first line must name {', '.join(COLUMNS[:2])}")
    names = ", ".join(known.name for known in FORMATS)
    raise ListError(f"the list is in no known format ({names}): its first lines hold neither a header nor a hash value")


def read_list(stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry]:
    """The entries of a list, whatever its format; at the end the list as a whole is judged (`Reading.finish`)."""
    head = stream.read(HEAD_BYTES)
    while len(head) < HEAD_BYTES and (more := stream.read(HEAD_BYTES - len(head))):
        head += more
    yield from recognise(head).read(rejoin(head, stream), options, reading)
    reading.finish()

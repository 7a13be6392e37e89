"""What the tests of list formats share: values, and reading a list from bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest

from hashsets.errors import ListError
from hashsets.formats import Options, Reading, Removal, read_list
from hashsets.types import Entry, Signal

MD5 = "900150983cd24fb0d6963f7d28e17f72"
SHA1 = "a9993e364706816aba3e25717850c26c9cd0d89d"
SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
PHOTODNA = "ab" * 144
CANARY = "canary-of-a-name"


def signals(*pairs: tuple[str, str]) -> tuple[Signal, ...]:
    """Signals of type names and hex."""
    return tuple(Signal(name, bytes.fromhex(text)) for name, text in pairs)


def updates(
    content: str | bytes, type_name: str | None = None, categories: Mapping[str, str] | None = None
) -> tuple[list[Entry | Removal], Reading]:
    """Everything a list says, and the count."""
    reading = Reading()
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return list(read_list(stream, Options(type_name, categories), reading)), reading


def read(
    content: str | bytes, type_name: str | None = None, categories: Mapping[str, str] | None = None
) -> tuple[list[Entry], Reading]:
    """The entries of a list that withdraws none, and the count. No name of a file is kept."""
    found, reading = updates(content, type_name, categories)
    entries = [each for each in found if isinstance(each, Entry)]
    assert len(entries) == len(found)
    assert CANARY not in repr(entries)
    return entries, reading


def refused(content: str | bytes, categories: Mapping[str, str] | None = None) -> str:
    """The message a list is refused with; it repeats neither value nor name."""
    with pytest.raises(ListError) as caught:
        updates(content, categories=categories)
    message = str(caught.value)
    assert not any(value in message for value in (MD5, SHA1, SHA256, PDQ, CANARY))
    return message


def refused_at_every_cut(content: bytes, *, first: int = 0, step: int = 1) -> None:
    """A list cut off anywhere imports nothing."""
    for at in range(first, len(content), step):
        with pytest.raises(ListError):
            updates(content[:at], categories={"all": "all"})

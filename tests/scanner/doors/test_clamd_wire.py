"""The clamd protocol as bytes: commands in three framings, streams in chunks, however the bytes are cut."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.doors.clamd_wire import MAX_LINE_BYTES, Command, Decoder, Framing, LineTooLong, Piece

NUL, LINE, OLD = Framing.NUL, Framing.LINE, Framing.OLD


def decoded(sent: bytes) -> Command | None:
    """The command in one packet."""
    decoder = Decoder()
    decoder.feed(sent)
    return decoder.command()


@pytest.mark.parametrize(
    ("sent", "word", "argument", "framing"),
    [
        (b"zPING\0", b"PING", b"", NUL),
        (b"nPING\n", b"PING", b"", LINE),
        (b"nPING\r\n", b"PING", b"", LINE),
        (b"PING", b"PING", b"", OLD),
        (b"PING\n", b"PING", b"", OLD),
        (b"PING\r\n", b"PING", b"", OLD),
        (b"SCAN /a b", b"SCAN", b"/a b", OLD),
        (b"zSCAN /a\nb\0", b"SCAN", b"/a\nb", NUL),
        (b"zINSTREAM\0", b"INSTREAM", b"", NUL),
        (b"zping\0", b"", b"", NUL),
        (b"nSCAN\n", b"", b"", LINE),
        (b"nSCAN \n", b"", b"", LINE),
        (b"zPING now\0", b"", b"", NUL),
        (b"INSTREAM\n", b"", b"", OLD),
        (b"STATS\n", b"", b"", OLD),
        (b"GET / HTTP/1.1\r\n\r\n", b"", b"", OLD),
        (b"\0", b"", b"", OLD),
        (b"z\0", b"", b"", NUL),
        (b"\n", b"", b"", OLD),
        (b"DETSTATS", b"DETSTATS", b"", OLD),
    ],
)
def test_commands_are_read_in_their_framing(sent: bytes, word: bytes, argument: bytes, framing: Framing) -> None:
    """A command is a known word in capitals, with a path where it takes one; anything else is an unknown command."""
    assert Command(word, argument, framing) == decoded(sent)


@pytest.mark.parametrize("sent", [b"zPING\0", b"nSCAN /a\n", b"PING\n", b"zCONTSCAN /a b\0", b"VERSION\n"])
def test_a_command_may_come_byte_by_byte(sent: bytes) -> None:
    """Until its end has come there is none, in the old style too."""
    decoder = Decoder()
    for byte in sent[:-1]:
        decoder.feed(bytes([byte]))
        if sent[:1] in b"zn" or decoder.waiting < len(sent) - 1:
            assert decoder.command() is None
    decoder.feed(sent[-1:])

    assert decoder.command() == decoded(sent)


def test_an_old_style_command_that_ends_with_its_packet_is_complete() -> None:
    """npm's client sends commands without any end mark."""
    assert Command(b"VERSION", b"", OLD) == decoded(b"VERSION")
    assert decoded(b"VERS") is None


def test_a_line_that_never_ends_is_refused() -> None:
    """What is kept of a command has a bound, whatever the framing."""
    for start in (b"z", b"n", b"SCAN /"):
        decoder = Decoder()
        decoder.feed(start + b"a" * MAX_LINE_BYTES)
        with pytest.raises(LineTooLong):
            decoder.command()


def chunked(*chunks: bytes) -> bytes:
    """A stream in these chunks."""
    return b"".join(struct.pack("!I", len(each)) + each for each in chunks) + bytes(4)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_a_stream_is_the_same_however_it_is_cut(chunks: list[bytes], steps: list[int]) -> None:
    """Chunk headers and data may be spread over any number of packets; what follows the stream stays."""
    sent, decoder, got = chunked(*chunks) + b"zEND\0", Decoder(), b""
    at = 0
    for step in [*steps, len(sent)]:
        decoder.feed(sent[at : at + step])
        at += step
        piece = decoder.piece(10_000 - len(got))
        got += piece.data
        if piece.ended:
            break
    decoder.feed(sent[at:])

    assert b"".join(chunks) == got
    assert Command(b"END", b"", NUL) == decoder.command()


def test_a_chunk_longer_than_what_is_left_is_seen_at_its_header() -> None:
    """Nobody waits for four gigabytes to say that they are too much; exactly the limit is taken."""
    decoder = Decoder()
    decoder.feed(b"\0\0\0\4good" + b"\xff\xff\xff\xff")

    assert Piece(b"good", over=True) == decoder.piece(100)

    exact = Decoder()
    exact.feed(chunked(b"a" * 5, b"b" * 5))
    assert Piece(b"aaaaabbbbb", ended=True) == exact.piece(10)
    one_more = Decoder()
    one_more.feed(chunked(b"a" * 5, b"b" * 6))
    assert Piece(b"aaaaa", over=True) == one_more.piece(10)

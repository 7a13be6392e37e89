"""What strangers send to the upload doors: read the same however it is cut into packets, or refused."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterator

from scanner.doors.clamd_wire import MAX_LINE_BYTES, Decoder, Framing, LineTooLong
from scanner.doors.icap_body import plan_of
from scanner.doors.icap_coding import NotInThisCoding, TooMuch, unpacking
from scanner.doors.icap_multipart import PartBegins, PartData, PartEnds, Splitter, boundary_of
from scanner.doors.icap_wire import BadRequest, Chunks, head_end, parse_fields, parse_head

_LEFT = 1000


def _packets(given: bytes, step: int) -> Iterator[bytes]:
    return (given[at : at + step] for at in range(0, len(given), step))


def _spoken(given: bytes, step: int) -> list[object]:
    """What a connection of clamd hears: commands, and what came of its streams."""
    decoder, heard, in_stream, taken = Decoder(), [], False, b""
    for packet in _packets(given, step):
        decoder.feed(packet)
        while True:
            if in_stream:
                piece = decoder.piece(_LEFT - len(taken))
                taken += piece.data
                assert len(taken) <= _LEFT
                if piece.over or not piece.ended:
                    break
                heard.append(taken)
                in_stream, taken = False, b""
                continue
            try:
                command = decoder.command()
            except LineTooLong:
                return [*heard, "too long"]
            if command is None:
                assert decoder.waiting <= MAX_LINE_BYTES + step
                break
            heard.append(command)
            in_stream = command.word == b"INSTREAM"
    return [*heard, taken]


def clamd(given: bytes) -> None:
    """The old style reads packets, so only the others are the same in pieces."""
    given = given[:1500]
    whole = _spoken(given, max(len(given), 1))
    apart = _spoken(given, 1 + len(given) % 7)
    old = any(getattr(each, "framing", None) is Framing.OLD for each in (*whole, *apart))
    assert old or whole == apart


def _body(given: bytes, step: int) -> object:
    chunks, data = Chunks(), b""
    try:
        for packet in _packets(given, step):
            data += chunks.feed(packet)
    except BadRequest as refused:
        return refused.status
    return data, chunks.ended, chunks.ieof, chunks.rest() if chunks.ended else b""


def icap(given: bytes) -> None:
    """A head, the HTTP head in it, and a chunked body behind it."""
    try:
        end = max(head_end(given), 0)
        head = parse_head(given[:end])
        assert all(length >= 0 for _, length in head.sections.heads)
        block = given[end : end + head.sections.bytes].partition(b"\n")[2]
        plan_of(parse_fields(block), head.fields.last("hashward-ref"))
        end += head.sections.bytes
    except BadRequest:
        end = 0
    body = given[end:]
    assert _body(body, max(len(body), 1)) == _body(body, 1 + len(given) % 5)


def _form(given: bytes, step: int) -> tuple[list[object], bool, bool]:
    splitter, parts = Splitter(b"B"), []
    for packet in _packets(given, step):
        for event in splitter.feed(packet):
            if isinstance(event, PartData) and isinstance(parts[-1], PartData):
                parts[-1] = PartData(parts[-1].data + event.data)
            else:
                parts.append(event)
    opened = sum(isinstance(each, PartBegins) for each in parts)
    assert opened - sum(isinstance(each, PartEnds) for each in parts) in (0, 1)
    return parts, splitter.ended, splitter.doubtful


def form(given: bytes) -> None:
    """Its parts, as far as they have an end."""
    whole, apart = _form(given, max(len(given), 1)), _form(given, 1 + len(given) % 9)
    assert whole[1:] == apart[1:] or not whole[1]
    assert not whole[1] or whole == apart
    boundary_of(given.decode("latin-1"))


def coding(given: bytes) -> None:
    """The first byte chooses the coding."""
    name = ("gzip", "deflate", "br", "zstd")[given[0] % 4] if given else "gzip"
    stream = unpacking([name])
    assert stream is not None
    try:
        for _ in stream.feed(given[1:]):
            pass
        assert stream.finished in (True, False)
    except (NotInThisCoding, TooMuch):
        pass


_HEAD = b"PUT /x HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 3\r\n\r\n"
DOOR_TARGETS: tuple[tuple[str, Callable[[bytes], None], tuple[bytes, ...], tuple[bytes, ...]], ...] = (
    (
        "clamd",
        clamd,
        (
            b"zINSTREAM\0" + struct.pack("!I", 3) + b"abc" + bytes(4) + b"zPING\0",
            b"nSCAN /a b\r\nnVERSION\n",
            b"PING",
        ),
        (b"zIDSESSION\0", b"FILDES", b"\xff\xff\xff\xff", b"\0\0\0\1"),
    ),
    (
        "icap",
        icap,
        (
            b"REQMOD icap://h/x ICAP/1.0\r\nAllow: 204\r\nPreview: 3\r\nEncapsulated: req-hdr=0, req-body=%d\r\n\r\n"
            % len(_HEAD) + _HEAD + b"3\r\nabc\r\n0; ieof\r\n\r\n",
            b"OPTIONS icap://h:1344/x?y ICAP/1.0\r\n\r\n",
        ),
        (b"res-hdr=0", b"null-body=", b"Encapsulated:", b"ffffffffffffff", b"\n", b"Content-Range: bytes 0-1/2"),
    ),
    (
        "form",
        form,
        (b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\ndata\r\n--B\r\n\r\n\r\n--B--\r\n',),
        (b"\r\n--B", b"\n--B\r\n", b"--B--", b"\r\n\r\n", b"filename*="),
    ),
    (
        "coding",
        coding,
        (b"\0" + gzip.compress(b"text " * 9, mtime=0), b"\1x\x9c\3\0\0\0\0\1", b"\2\x0b\x02\x80abc\3"),
        (),
    ),
)  # fmt: skip

"""The filters of PDF streams that need no picture to be known (ISO 32000-1, 7.4), each within bounds."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from scanner.decoding.containers.streams import BLOCK_BYTES

FULL_NAMES = {
    b"AHx": b"ASCIIHexDecode",
    b"A85": b"ASCII85Decode",
    b"LZW": b"LZWDecode",
    b"Fl": b"FlateDecode",
    b"RL": b"RunLengthDecode",
    b"CCF": b"CCITTFaxDecode",
    b"DCT": b"DCTDecode",
}


def inflated(packed: bytes, most: int, tick: Callable[[], None]) -> bytes:
    """What a zlib stream gives, as far as it makes sense; without its header too, as readers take it."""
    for wbits in (15, -15):
        state, pieces, count, rest = zlib.decompressobj(wbits), [], 0, packed if wbits > 0 else packed[2:]
        try:
            while rest and count < most and not state.eof:
                tick()
                pieces.append(state.decompress(rest, min(BLOCK_BYTES, most - count)))
                count += len(pieces[-1])
                rest = state.unconsumed_tail
        except zlib.error:
            pass
        if count:
            return b"".join(pieces)
    return b""


def from_hex(packed: bytes, most: int, tick: Callable[[], None]) -> bytes:
    """ASCIIHexDecode."""
    digits = re.sub(rb"[^0-9a-fA-F]", b"", packed.partition(b">")[0][: 3 * most])
    return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())


def from_85(packed: bytes, most: int, tick: Callable[[], None]) -> bytes:
    """ASCII85Decode; groups that make no sense end it."""
    text = re.sub(rb"[^!-uz]", b"", packed.partition(b"~>")[0][: 2 * most])
    out = bytearray()
    at = 0
    while at < len(text) and len(out) < most:
        if at % 65_536 == 0:
            tick()
        if text[at] == 122:  # z
            out += bytes(4)
            at += 1
            continue
        group = text[at : at + 5]
        number = 0
        for byte in group.ljust(5, b"u"):
            number = number * 85 + byte - 33
        if number >= 1 << 32 or len(group) < 2:
            break
        out += number.to_bytes(4, "big")[: len(group) - 1]
        at += 5
    return bytes(out)


def from_runs(packed: bytes, most: int, tick: Callable[[], None]) -> bytes:
    """RunLengthDecode."""
    out = bytearray()
    at = 0
    while at < len(packed) and len(out) < most:
        length = packed[at]
        if length == 128:
            break
        if length < 128:
            out += packed[at + 1 : at + 2 + length]
            at += 2 + length
        else:
            out += packed[at + 1 : at + 2] * (257 - length)
            at += 2
    return bytes(out[:most])


def from_lzw(packed: bytes, most: int, tick: Callable[[], None], *, early: bool = True) -> bytes:
    """LZWDecode; codes grow by a bit one code early where `early`."""
    start = [bytes([value]) for value in range(256)] + [b"", b""]
    table, out, width, before = list(start), bytearray(), 9, b""
    bits, held, at = 0, 0, 0
    while len(out) < most:
        while held < width and at < len(packed):
            bits, held, at = bits << 8 | packed[at], held + 8, at + 1
            if at % 65_536 == 0:
                tick()
        if held < width:
            break
        code, held = bits >> (held - width), held - width
        bits &= (1 << held) - 1
        if code == 256:
            table, width, before = list(start), 9, b""
            continue
        if code == 257 or code > len(table) or (code == len(table) and not before):
            break
        piece = table[code] if code < len(table) else before + before[:1]
        out += piece
        if before and len(table) < 4096:
            table.append(before + piece[:1])
        before = piece
        width = min(12, max(9, (len(table) + early).bit_length()))
    return bytes(out[:most])


FILTERS: dict[bytes, Callable[[bytes, int, Callable[[], None]], bytes]] = {
    b"FlateDecode": inflated,
    b"ASCIIHexDecode": from_hex,
    b"ASCII85Decode": from_85,
    b"RunLengthDecode": from_runs,
    b"LZWDecode": from_lzw,
}

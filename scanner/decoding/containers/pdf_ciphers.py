"""The ciphers of PDF encryption: AES-CBC (FIPS 197, SP 800-38A), decrypted in all blocks at once, and RC4.

For reading documents that anyone may open; these are no ciphers to keep a secret with.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

BLOCK = 16
Words = NDArray[np.uint8]


def _doubled(value: int) -> int:
    return (value << 1) ^ (0x11B if value & 0x80 else 0)


def _product(one: int, other: int) -> int:
    """In the field of FIPS 197, 4.2."""
    result = 0
    while other:
        result ^= one * (other & 1)
        one, other = _doubled(one), other >> 1
    return result


@cache
def _boxes() -> tuple[bytes, bytes]:
    """The substitution box (FIPS 197, 5.1.1) and its inverse."""
    inverse = [0] * 256
    for value in range(1, 256):
        inverse[value] = next(other for other in range(1, 256) if _product(value, other) == 1) if value else 0
    box = bytearray(256)
    for value in range(256):
        bits = inverse[value]
        mixed = 0x63
        for turn in range(5):
            mixed ^= (bits << turn | bits >> (8 - turn)) & 0xFF
        box[value] = mixed
    back = bytearray(256)
    for value, mixed in enumerate(box):
        back[mixed] = value
    return bytes(box), bytes(back)


@cache
def _multiples(factor: int) -> bytes:
    return bytes(_product(value, factor) & 0xFF for value in range(256))


def _round_keys(key: bytes) -> list[bytes]:
    """FIPS 197, 5.2."""
    box, _ = _boxes()
    length = len(key) // 4
    words = [key[at : at + 4] for at in range(0, len(key), 4)]
    constant = 1
    while len(words) < 4 * (length + 7):
        word = words[-1]
        if len(words) % length == 0:
            word = bytes(box[byte] for byte in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _doubled(constant)
        elif length > 6 and len(words) % length == 4:
            word = bytes(box[byte] for byte in word)
        words.append(bytes(a ^ b for a, b in zip(words[-length], word, strict=True)))
    return [b"".join(words[at : at + 4]) for at in range(0, len(words), 4)]


# Byte i of a block stands in row i % 4 and column i // 4; rows turn by their number.
_SHIFTED = [(i + 4 * (i % 4)) % 16 for i in range(16)]
_SHIFTED_BACK = [(i - 4 * (i % 4)) % 16 for i in range(16)]


def aes_cbc_decrypted(key: bytes, vector: bytes, content: bytes) -> bytes:
    """Whole blocks of `content`; padding is left on."""
    whole = content[: len(content) // BLOCK * BLOCK]
    if not whole:
        return b""
    keys = [np.frombuffer(each, np.uint8) for each in _round_keys(key)]
    back = np.frombuffer(_boxes()[1], np.uint8)
    mixing = [np.frombuffer(_multiples(factor), np.uint8) for factor in (14, 11, 13, 9)]
    packed = np.frombuffer(whole, np.uint8).reshape(-1, BLOCK)
    state: Words = packed ^ keys[-1]
    for number in range(len(keys) - 2, -1, -1):
        state = back[state[:, _SHIFTED_BACK]] ^ keys[number]
        if number:
            state = _unmixed(state, mixing)
    before = np.concatenate([np.frombuffer(vector, np.uint8).reshape(1, BLOCK), packed[:-1]])
    return bytes((state ^ before).tobytes())


def _unmixed(state: Words, mixing: list[Words]) -> Words:
    """InvMixColumns (FIPS 197, 5.3.3)."""
    columns = state.reshape(-1, 4, 4)
    mixed = np.zeros_like(columns)
    for turn, factors in enumerate(mixing):
        mixed ^= factors[np.roll(columns, -turn, axis=2)]
    return mixed.reshape(-1, BLOCK)


def aes_cbc_encrypted(key: bytes, vector: bytes, content: bytes) -> bytes:
    """Whole blocks, one after the other: for the few kilobytes that a password is hashed by."""
    box, _ = _boxes()
    two, three = _multiples(2), _multiples(3)
    keys = _round_keys(key)
    out, state = [], list(vector)
    for at in range(0, len(content), BLOCK):
        state = [a ^ b ^ c for a, b, c in zip(state, content[at : at + BLOCK], keys[0], strict=True)]
        for number in range(1, len(keys)):
            state = [box[state[place]] for place in _SHIFTED]
            if number < len(keys) - 1:
                state = [
                    two[state[c + r]] ^ three[state[c + (r + 1) % 4]] ^ state[c + (r + 2) % 4] ^ state[c + (r + 3) % 4]
                    for c in (0, 4, 8, 12)
                    for r in range(4)
                ]
            state = [a ^ b for a, b in zip(state, keys[number], strict=True)]
        out.append(bytes(state))
    return b"".join(out)


def rc4(key: bytes, content: bytes) -> bytes:
    """Encrypts and decrypts alike."""
    box = list(range(256))
    j = 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) & 0xFF
        box[i], box[j] = box[j], box[i]
    i = j = 0
    stream = bytearray(len(content))
    for at in range(len(content)):
        i = (i + 1) & 0xFF
        one = box[i]
        j = (j + one) & 0xFF
        other = box[j]
        box[i], box[j] = other, one
        stream[at] = box[(one + other) & 0xFF]
    size = len(content)
    return (int.from_bytes(stream, "big") ^ int.from_bytes(content, "big")).to_bytes(size, "big")

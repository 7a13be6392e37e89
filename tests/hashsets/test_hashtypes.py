"""Hash types: every type reads its golden values, and nothing that is not wholly a value."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashsets import hashtypes
from hashsets.errors import ListError, UsageError
from hashsets.evidence import degenerate_rows

# The three digests are of b"abc": RFC 1321 A.5; FIPS 180-4 examples for SHA-1 and SHA-256. PDQ: the bridge picture of
# the published regression set. The 64-bit ones are written as ImageHash prints them.
GOLDEN = {
    "md5": "900150983cd24fb0d6963f7d28e17f72",
    "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "pdq": "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22",
    "phash": "9a6c63931ce3ce4c",
    "dhash": "e0c4c6c6d6d24ac8",
    "ahash": "ffd3c10000001cff",
    "whash": "fff3c18000001eff",
}
BITS = {"md5": 128, "sha1": 160, "sha256": 256, "pdq": 256, "phash": 64, "dhash": 64, "ahash": 64, "whash": 64}


def test_the_registry_is_the_one_that_is_documented() -> None:
    """Bits, comparison, default radius and floor of every comparable type."""
    told = {name: hashtypes.get(name) for name in hashtypes.names()}

    assert told.keys() == BITS.keys() == GOLDEN.keys()
    assert {name: known.bits for name, known in told.items()} == BITS
    assert {"md5", "sha1", "sha256"} == {name for name, known in told.items() if known.comparison == "exact"}
    radii = {name: known.default_radius_bits for name, known in told.items() if known.comparison == "hamming"}
    assert {"pdq": 31, "phash": 8, "dhash": 8, "ahash": 4, "whash": 4} == radii
    assert {"pdq": 50} == {name: known.default_quality_floor for name, known in told.items() if known.has_quality}
    assert {"sha512", "photodna", "tmk", "netclean", "md4", "crc32"} <= set(hashtypes.names(matchable=False))


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_value_is_read_in_every_spelling(name: str) -> None:
    """Hex in any case, and padded base64, give the same bytes; and print as lower-case hex."""
    text = GOLDEN[name]
    value = bytes.fromhex(text)
    mixed = "".join(letter.upper() if at % 3 else letter for at, letter in enumerate(text))
    spellings = [text, text.upper(), mixed, base64.b64encode(value).decode()]

    assert [value] * 4 == [hashtypes.parse(name, spelling) for spelling in spellings]
    assert text == hashtypes.to_hex(value)
    assert name in hashtypes.fitting_types(text)


@pytest.mark.parametrize("name", GOLDEN)
def test_what_is_not_wholly_a_value_is_refused_without_being_repeated(name: str) -> None:
    """Too short, too long, a foreign letter, blanks, a newline, a prefix, unpadded or url-safe or dirty base64."""
    text = GOLDEN[name]
    padded = base64.b64encode(b"\xfb\xff" + bytes(len(text) // 2 - 2)).decode()
    middle = len(text) // 2
    broken = ["", text[:-1], text[:-2], text + "0", text + "00", "g" + text[1:], "0x" + text[2:]]
    broken += [" " + text, text + " ", text + "\n", text[:-1] + "\n", text[:middle] + " " + text[middle + 1 :]]
    broken += [text[:-1] + "\u0663", "\uff11" * len(text), text[:2] + "_" + text[3:]]
    broken += [padded.rstrip("=") if padded.endswith("=") else padded + "=", padded + "\n"]
    broken += [padded.replace("+", "-").replace("/", "_")]
    if padded.endswith("="):
        at = len(padded.rstrip("=")) - 1
        broken.append(padded[:at] + "B" + padded[at + 1 :])
    for spelling in broken:
        with pytest.raises(ListError) as caught:
            hashtypes.parse(name, spelling)
        assert not spelling or spelling.strip() not in str(caught.value)


ALIASES = {
    "md5": ("MD5", "video_md5", "Image-MD5", "hash_md5"),
    "sha1": ("sha-1", "SHA_1", "SHA1"),
    "sha256": ("SHA-256", "sha 256"),
    "sha512": ("SHA-512",),
    "pdq": (" pdq ", "PDQ"),
    "phash": ("PHash",),
    "photodna": ("PhotoDNA",),
    "crc32": ("CRC32",),
}


@pytest.mark.parametrize(("name", "alias"), [(name, alias) for name, known in ALIASES.items() for alias in known])
def test_aliases_name_the_type_in_any_case(name: str, alias: str) -> None:
    """Lists write the names of types in many ways."""
    assert name == hashtypes.get(alias).name


def test_an_unknown_type_is_an_error_that_names_the_known_ones() -> None:
    """And `find` says None."""
    with pytest.raises(UsageError, match="sha256"):
        hashtypes.get("no such type")

    assert hashtypes.find("no such type") is None


def test_a_type_of_unpublished_form_is_known_and_not_read() -> None:
    """Lists that hold it are counted, never guessed at."""
    assert not hashtypes.get("netclean").matchable
    with pytest.raises(ListError):
        hashtypes.parse("netclean", "00")
    assert bytes(64) == hashtypes.parse("sha512", "0" * 128)


def test_a_bare_value_fits_the_types_of_its_length() -> None:
    """32 and 40 digits are told apart from all others; 64 and 16 are not."""
    fits = {digits: hashtypes.fitting_types("ab" * (digits // 2)) for digits in (16, 32, 40, 64, 128, 62)}

    assert ("phash", "dhash", "ahash", "whash") == fits[16]
    assert (("md5",), ("sha1",), ("sha256", "pdq"), (), ()) == (fits[32], fits[40], fits[64], fits[128], fits[62])
    assert "sha512" == hashtypes.unmatchable_type("ab" * 64)
    assert hashtypes.unmatchable_type("ab" * 63) is None


def test_values_that_say_nothing_are_degenerate() -> None:
    """The digest of no bytes; perceptual values with under an eighth or over seven eighths of their bits set."""

    def with_bits(name: str, count: int) -> bytes:
        return ((1 << count) - 1).to_bytes(hashtypes.get(name).size_bytes)

    def degenerate(name: str, value: bytes) -> bool:
        return hashtypes.is_degenerate(hashtypes.get(name), value)

    assert degenerate("md5", bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e"))
    assert degenerate("sha1", bytes.fromhex("da39a3ee5e6b4b0d3255bfef95601890afd80709"))
    assert degenerate("sha256", bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
    assert not degenerate("md5", bytes(16))
    assert [True, False, False, True] == [degenerate("pdq", with_bits("pdq", n)) for n in (31, 32, 224, 225)]
    assert [True, False, False, True] == [degenerate("phash", with_bits("phash", n)) for n in (7, 8, 56, 57)]
    assert not any(degenerate(name, bytes.fromhex(text)) for name, text in GOLDEN.items())


@given(st.sampled_from(sorted(GOLDEN)), st.data())
def test_arrays_and_single_values_agree_on_what_is_degenerate(name: str, data: st.DataObject) -> None:
    """Two forms of one rule must not drift."""
    hash_type = hashtypes.get(name)
    edges = st.integers(0, hash_type.bits).map(lambda count: ((1 << count) - 1).to_bytes(hash_type.size_bytes))
    known = st.sampled_from(
        [
            bytes.fromhex(GOLDEN[name]),
            *([hashtypes.empty_file_digest(hash_type)] if hash_type.comparison == "exact" else []),
        ]
    )
    values = data.draw(st.lists(st.one_of(edges, known), min_size=1, max_size=5))
    array = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), -1)

    assert [hashtypes.is_degenerate(hash_type, value) for value in values] == degenerate_rows(hash_type, array).tolist()


def test_exact_types_rank_first_and_longer_ones_before_shorter() -> None:
    """Of equal evidence the strongest is told."""
    ranked = [hashtypes.by_rank(rank).name for rank in range(len(hashtypes.names()))]

    assert ["sha256", "sha1", "md5", "pdq", "phash", "dhash", "ahash", "whash"] == ranked
    assert list(range(8)) == [hashtypes.rank(name) for name in ranked]

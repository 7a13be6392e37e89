"""List formats: what is read, what is counted, and what refuses the whole list."""

from __future__ import annotations

import base64
import bz2
import io
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashsets.errors import HashsetsError, ListError, UsageError
from hashsets.formats import Options, Reading, read_list
from hashsets.formats.text import MAX_LINE_LETTERS
from hashsets.types import Classification, Entry, Shape, Signal, entry_key, entry_key_of_ref

MD5 = "900150983cd24fb0d6963f7d28e17f72"
SHA1 = "a9993e364706816aba3e25717850c26c9cd0d89d"
SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
PHASH = "9a6c63931ce3ce4c"
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
SHA512 = "ab" * 64


def read(text: str | bytes, type_name: str | None = None) -> tuple[list[Entry], Reading]:
    """The entries of a list, and the count."""
    reading = Reading()
    stream = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return list(read_list(stream, Options(type_name), reading)), reading


def refused(text: str | bytes, type_name: str | None = None) -> str:
    """The message a list is refused with; it never repeats a value."""
    with pytest.raises(HashsetsError) as caught:
        read(text, type_name)
    message = str(caught.value)
    assert not any(value in message for value in (MD5, SHA1, SHA256, PDQ, PHASH))
    return message


def bare(name: str, text: str) -> Entry:
    """The entry of a value that nothing else is known of."""
    signal = Signal(name, bytes.fromhex(text))
    return Entry(entry_key(signal), (signal,))


def digests(count: int) -> list[str]:
    """Distinct md5 lines."""
    return [f"{number:032x}" for number in range(1, count + 1)]


# -- plain ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        lambda text: text.rstrip("\n").encode(),
    ],
    ids=["lf", "crlf", "cr", "bom", "utf-16", "utf-16-be", "no last newline"],
)
def test_a_plain_list_is_read_in_any_encoding_and_line_end(encoded: object) -> None:
    """Comments and blank lines are skipped; bare values and typed ones may be mixed."""
    text = f"# a list\n\n{MD5.upper()}\n  SHA-256   {SHA256}  \n\t{SHA1}\n#{MD5}\npdq\t{PDQ}\n"
    entries, reading = read(encoded(text))  # type: ignore[operator]

    assert [bare("md5", MD5), bare("sha256", SHA256), bare("sha1", SHA1), bare("pdq", PDQ)] == entries
    assert (4, 0) == (reading.valid, reading.rejected.total())


def test_base64_values_are_read_too() -> None:
    """Some feeds write their digests so."""
    text = base64.b64encode(bytes.fromhex(MD5)).decode()

    assert [bare("md5", MD5)] == read(f"md5 {text}")[0] == read(text)[0]


@pytest.mark.parametrize(("text", "choices"), [(SHA256, "sha256 or pdq"), (PHASH, "phash or dhash or ahash or whash")])
def test_a_bare_value_that_fits_several_types_needs_one_to_be_said(text: str, choices: str) -> None:
    """The choices are named; and with one said, the values are of it."""
    message = refused(f"{MD5}\n{text}\n")
    assert choices in message
    assert "--type" in message
    name = choices.split(" or ")[1]

    assert [bare(name, text)] == read(text, name)[0]
    with pytest.raises(UsageError):
        read(text, "no such type")


def test_a_line_that_names_its_type_does_not_need_the_one_said() -> None:
    """What the list says of a value stands over what the operator said of the others."""
    assert [bare("pdq", PDQ), bare("sha256", SHA256)] == read(f"{PDQ}\nsha256 {SHA256}", "pdq")[0]


def test_lines_that_are_not_understood_are_counted_with_the_first_of_each() -> None:
    """Wrong length, unknown type, too many words; up to one in twenty."""
    good = digests(200)
    lines = [*good[:50], MD5[:-1], *good[50:], "nothing " + MD5, "md5 " + MD5 + " x", SHA256[:63], "md5 " + SHA1]
    entries, reading = read("\n".join(lines) + "\n")

    assert 200 == len(entries) == reading.valid
    assert {"not_a_value": 3, "unknown_type": 1, "too_many_words": 1} == dict(reading.rejected)
    assert {"not_a_value": 51, "unknown_type": 202, "too_many_words": 203} == reading.first_line


def test_a_list_of_too_many_rejects_is_refused_whole() -> None:
    """One in twenty is the last that is believed."""
    good = digests(95)

    assert 95 == len(read("\n".join([*good, *["zz"] * 5]) + "\n")[0])
    message = refused("\n".join([*good, *["zz"] * 6]) + "\n")
    assert "6 of 101" in message
    assert "line 96" in message


def test_known_types_that_cannot_be_compared_are_counted_and_no_rejects() -> None:
    """They may be most of a list; alone they make no list."""
    entries, reading = read(f"{MD5}\nsha512 {SHA512}\n{SHA512}\nphotodna AAAA\nnetclean zzz\n")

    assert [bare("md5", MD5)] == entries
    assert {"sha512": 2, "photodna": 1, "netclean": 1} == dict(reading.unmatchable)
    assert 0 == reading.rejected.total()
    assert "sha512" in refused(f"{SHA512}\n")


def test_degenerate_values_are_refused_one_by_one() -> None:
    """The empty file's digest and flat perceptual values would match everybody; they do not speak against the list."""
    flat = "f" * 62 + "00"
    entries, reading = read(f"{MD5}\n{EMPTY_MD5}\npdq {'0' * 64}\npdq {flat}\n")

    assert [bare("md5", MD5)] == entries
    assert {"degenerate": 3} == dict(reading.rejected)
    assert "degenerate" in refused(f"{EMPTY_MD5}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "empty"),
        (b" \r\n\t\n", "empty"),
        (b"# only\n# comments\n", "no record"),
        (b"hello world\nthis is no list\n", "no known format"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not text"),
        (bz2.compress(MD5.encode()), "bunzip2"),
        (lzma.compress(MD5.encode()), "unxz"),
        (MD5.encode() + b"\n" + MD5.encode()[:8] + b"\0" + MD5.encode()[9:] + b"\n", "NUL"),
        (MD5.encode() + b"\n\xff\xfe\xfa\n", "not text"),
        (MD5.encode("utf-16-le") + b"\n\0", "its mark"),
        (b"\xff\xfe" + MD5.encode("utf-16-le") + b"\n", "not text"),
        (MD5.encode() + b"\n" + b"a" * (MAX_LINE_LETTERS + 1), "longer"),
        ("\n".join([*digests(100), MD5[:20]]).encode(), "cut off"),
        (("md5," + MD5).encode(), "header"),
    ],
)
def test_what_is_no_list_is_refused_with_its_reason(text: bytes, said: str) -> None:
    """Each refusal says where and why, and nothing is imported."""
    assert said in refused(text)


def test_a_long_preamble_of_comments_is_read_over() -> None:
    """Recognition looks only so far; reading goes on."""
    assert [bare("md5", MD5)] == read("# note\n" * 20_000 + MD5)[0]


@given(st.binary(max_size=200), st.sampled_from([None, "pdq", "md5"]))
def test_no_bytes_make_reading_fail_but_by_refusal(noise: bytes, type_name: str | None) -> None:
    """A stranger's file ends in entries or in an error of ours."""
    for text in (noise, MD5.encode() + b"\n" + noise, b"type,value,ref\nmd5," + MD5.encode() + b",a\n" + noise):
        try:
            read(text, type_name)
        except ListError:
            continue


# -- csv --------------------------------------------------------------------------------------------------------------


def test_rows_that_share_a_ref_are_one_entry() -> None:
    """With several signals and classifications; rows without a ref are entries of their own."""
    text = (
        "type,value,ref,scheme,code,shape\n"
        f'md5,{MD5},r1,scale,A1,\npdq,{PDQ},r1,scale,"B, 2",\npdq,{PDQ},r1,scale,A1,item\n'
        f"sha1,{SHA1},,scale,A1,\nsha1,{SHA1},r2,,,frames\n"
    )
    entries, reading = read(text)

    first = Entry(
        entry_key_of_ref("r1"),
        (Signal("md5", bytes.fromhex(MD5)), Signal("pdq", bytes.fromhex(PDQ))),
        Shape.ITEM,
        "r1",
        (Classification("scale", "A1"), Classification("scale", "B, 2")),
    )
    sha1 = Signal("sha1", bytes.fromhex(SHA1))
    own = Entry(entry_key(sha1), (sha1,), Shape.ITEM, None, (Classification("scale", "A1"),))
    frames = Entry(entry_key_of_ref("r2"), (sha1,), Shape.FRAMES, "r2")
    assert [first, own, frames] == entries
    assert 5 == reading.valid


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_come_in_any_order_case_and_delimiter(delimiter: str) -> None:
    """Unknown columns are counted and ignored; a missing type may be said; quotes hold anything."""
    rows = [["Note", '"VALUE"', "Type"], ['"a ""b""\n' + delimiter + '"', MD5, "MD5"], ["", SHA1.upper(), "sha-1"]]
    text = "# comment\n" + "\n".join(delimiter.join(row) for row in rows)
    entries, reading = read(text)

    assert [bare("md5", MD5), bare("sha1", SHA1)] == entries
    assert 1 == reading.unknown_columns
    assert [bare("pdq", PDQ)] == read(f"value\n{PDQ}\n", "pdq")[0]


def test_a_file_is_recognised_by_content_alone() -> None:
    """A header that names `value` is a table; a tab between type and value is not."""
    assert [bare("md5", MD5)] == read(f"md5\t{MD5}\n")[0]
    assert [bare("md5", MD5)] == read(f"type\tvalue\nmd5\t{MD5}\n")[0]
    assert [bare("md5", MD5)] == read(("type,value\n" + f"md5,{MD5}\n").encode("utf-16"))[0]


def test_rows_that_are_not_understood_are_counted() -> None:
    """Each for its reason, with the line where its record ends."""
    good = [f"md5,{digest},,,," for digest in digests(200)]
    bad = [
        f"md5,{MD5},{'r' * 257},,,",
        f"md5,{MD5},r,scheme,,",
        f"md5,{MD5},r,,code,",
        f"md5,{MD5},,,,frames",
        f"md5,{MD5},r,,,odd",
        f"nothing,{MD5},,,,",
        f",{MD5},,,,",
        f"md5,{SHA1},,,,",
        f"md5,{MD5}",
        f"md5,{EMPTY_MD5},,,,",
        f"sha512,{SHA512},,,,",
    ]
    entries, reading = read("type,value,ref,scheme,code,shape\n" + "\n".join(good + bad) + "\n")

    assert 200 == len(entries)
    assert {
        "bad_ref": 1,
        "bad_classification": 2,
        "bad_shape": 2,
        "unknown_type": 2,
        "not_a_value": 1,
        "wrong_column_count": 1,
        "degenerate": 1,
    } == dict(reading.rejected)
    assert {"sha512": 1} == dict(reading.unmatchable)
    assert 202 == reading.first_line["bad_ref"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"type,hash\nmd5,{MD5}\n", "type, value"),
        (f"value,ref\n{MD5},a\n", "lacks type"),
        (f"type,value,Value\nmd5,{MD5},{MD5}\n", "twice"),
        (f'type,value\nmd5,{MD5}\nmd5,"{MD5[:9]}', "cut off"),
        (f'type,value\nmd5,{MD5}\nmd5,"{MD5}"x\n', "broken"),
        (f"type,value\nmd5,{MD5}\nmd5,{MD5[:9]}", "cut off"),
        (f"type,value\nmd5,{MD5}\nmd5", "cut off"),
        (f"type,value\nmd5,{MD5}\nmd5,{MD5[:9]}\0\n", "NUL"),
        (f'type,value\nmd5,{MD5}\nmd5,"' + f"{MD5}\n" * 10_000, "broken"),
        ("type,value\n", "no usable record"),
    ],
)
def test_a_table_that_cannot_be_trusted_is_refused(text: str, said: str) -> None:
    """Missing and doubled columns, and what a cut leaves behind."""
    assert said in refused(text)


def test_an_entry_of_very_many_rows_comes_in_pieces() -> None:
    """A film of a hundred thousand frames does not gather in memory; the store unites the pieces."""
    rows = "".join(f"md5,{digest},film\n" for digest in digests(10_000))
    entries, _ = read("type,value,ref\n" + rows)

    assert {entry_key_of_ref("film")} == {entry.key for entry in entries}
    assert 10_000 == sum(len(entry.signals) for entry in entries)
    assert max(len(entry.signals) for entry in entries) < 5_000

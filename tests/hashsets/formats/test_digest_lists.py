"""Lists that programs for digests write: checksums, hashdeep, NSRL, HashKeeper, ICSE, EnCase."""

from __future__ import annotations

import pytest

from hashsets.types import Classification
from tests.hashsets.formats.reading import (
    CANARY,
    EMPTY_MD5,
    MD5,
    PDQ,
    PHOTODNA,
    SHA1,
    SHA256,
    read,
    refused,
    refused_at_every_cut,
    signals,
)  # fmt: skip

# -- checksums --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        f"{MD5}  {CANARY}",
        f"{MD5.upper()} *{CANARY}",
        f"\\{MD5}  {CANARY}\\n.jpg",
        f"MD5 ({CANARY}) = {MD5}",
        f"MD5 ({CANARY}) = x) = {MD5.upper()}",
        f"MD5({CANARY})= {MD5}",
        f"\\MD5 ({CANARY}\\n) = {MD5}",
        f"{MD5}  MD5 ({CANARY}) = {SHA1}",
    ],
)
def test_checksums_are_read_in_every_style(line: str) -> None:
    """And their file names are passed over, whatever they look like."""
    entries, reading = read(f"{line}\n")

    assert [signals(("md5", MD5))] == [entry.signals for entry in entries]
    assert (1, 0) == (reading.valid, reading.rejected.total())


def test_the_length_says_which_program_wrote_a_checksum() -> None:
    """No program of this family writes perceptual values; a type that is named stands; sha512 is counted."""
    long = "ab" * 64
    text = f"{SHA1}  a\n{SHA256}  a\nSHA256 (a) = {SHA256}\nSHA2-256(a)= {SHA256}\n{long}  a\nSHA512 (a) = {long}\n"
    entries, reading = read(text)

    assert ["sha1", "sha256", "sha256", "sha256"] == [entry.signals[0].hash_type for entry in entries]
    assert {"sha512": 2} == dict(reading.unmatchable)
    assert "pdq" == read(f"{PDQ}  a.jpg\n", "pdq")[0][0].signals[0].hash_type


def test_names_in_any_encoding_do_not_hinder() -> None:
    """File names are bytes; a list of them is read even where they are no text."""
    assert 2 == len(read(f"{MD5}  ".encode() + b"\xff\xfe\x80.jpg\n" + f"{SHA1}  b\n".encode())[0])


def test_a_checksum_list_that_was_cut_off_imports_nothing() -> None:
    """Also where the cut fell into a name, which only the missing line end shows."""
    refused_at_every_cut(f"{MD5}  a name\n{SHA1}  b\n".encode()[:-1], first=len(MD5) + 10)


def test_checksums_of_wrong_length_are_counted_and_refuse_the_list_where_they_are_many() -> None:
    """A wrong line among many is one record; half of them are another file."""
    good = "".join(f"{number:032x}  n\n" for number in range(1, 100))

    assert {"not_a_value": 1} == dict(read(good + f"{MD5[:-1]}  n\n")[1].rejected)
    assert {"degenerate": 1} == dict(read(good + f"{EMPTY_MD5}  n\n")[1].rejected)
    assert "not understood" in refused(f"{MD5}  n\n{MD5[:-1]}  n\n")


# -- hashdeep ---------------------------------------------------------------------------------------------------------

HASHDEEP = f"""%%%% HASHDEEP-1.0
%%%% size,md5,sha256,filename
## Invoked from: {CANARY}
## $ hashdeep -c md5,sha1,sha256 {CANARY}
##
1067,{MD5},{SHA256.upper()},{CANARY},b,{SHA1}.jpg
"""


def test_hashdeep_gives_an_entry_a_file_with_all_its_digests() -> None:
    """The second line alone says which; commas belong to the name; a total another writer adds is passed over."""
    entries, reading = read(HASHDEEP + "% total,1\n")

    assert [signals(("md5", MD5), ("sha256", SHA256))] == [entry.signals for entry in entries]
    assert 1 == reading.valid


def test_hashdeep_counts_types_it_cannot_compare() -> None:
    """Whirlpool and tiger are known; sha-1 is sha1."""
    text = f"%%%% HASHDEEP-1.0\r\n%%%% size,whirlpool,sha-1,tiger,filename\r\n9,{'ab' * 64},{SHA1},{'cd' * 24},n\r\n"
    entries, reading = read(text)

    assert [signals(("sha1", SHA1))] == [entry.signals for entry in entries]
    assert {"whirlpool": 1, "tiger": 1} == dict(reading.unmatchable)


def test_hashdeep_that_was_cut_off_imports_nothing() -> None:
    """Wherever the cut fell."""
    refused_at_every_cut(HASHDEEP.encode())


def test_hashdeep_without_its_columns_is_refused() -> None:
    """The second line is not guessed."""
    assert "columns" in refused(f"%%%% HASHDEEP-1.0\n{MD5},{SHA1},n\n")


# -- csv of digests ---------------------------------------------------------------------------------------------------

NSRL_V2 = '"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"\r\n'
NSRL_V1 = '"SHA-1","FileName","FileSize","ProductCode","OpSystemCode","MD4","MD5","CRC32","SpecialCode"\r\n'


@pytest.mark.parametrize(
    "text",
    [
        NSRL_V2 + f'"{SHA1.upper()}","{MD5.upper()}","0000000A","A, {CANARY}.PFB",98865,3095,"WIN",""\r\n',
        NSRL_V1 + f'"{SHA1.upper()}","say ""{CANARY}""",9,1,"WIN","","{MD5.upper()}","0000000A",""\r\n',
    ],
)
def test_nsrl_gives_an_entry_a_row(text: str) -> None:
    """Quoted, upper case, commas within names; md5 and sha1 together, so that it can vouch for known good."""
    entries, reading = read(text)

    assert [signals(("md5", MD5), ("sha1", SHA1))] == [entry.signals for entry in entries]
    assert {} == dict(reading.unmatchable)


def test_what_nsrl_marks_malicious_is_left_out() -> None:
    """Known is not known good; other marks are kept."""
    row = f'"{SHA1}","{MD5}","0000000A","n",1,1,"WIN","%s"\r\n'
    entries, reading = read(NSRL_V2 + row % "S" + row % "M")

    assert [(Classification("nsrl", "S"),)] == [entry.classifications for entry in entries]
    assert {"marked_malicious": 1} == dict(reading.rejected)


def test_names_in_nsrl_of_any_encoding_do_not_hinder() -> None:
    """The published files are not all UTF-8."""
    row = f'"{SHA1}","{MD5}","0000000A",'.encode() + b'"\xe9\xff",1,1,"WIN",""\r\n'

    assert 1 == len(read(NSRL_V2.encode() + row)[0])


def test_a_header_that_is_no_text_is_refused() -> None:
    """Letters that are none do not make it another header."""
    assert "header is not text" in refused(f"name,pdq\n{CANARY},{PDQ}\n".encode().replace(b"pdq", b"p\xffdq"))


def test_icse_keeps_digests_and_baseline_alone() -> None:
    """Columns in any order and case; rows of a differing length; no series, victim or offender."""
    header = (
        "Md5;SHA1;PhotoDNA;Image ID;Is distributed;Victim identified;Offender identified;Series name;"
        "Number of submissions;File Available;Media Type;baseline\n"
    )
    text = header + f"{MD5};{SHA1};{PHOTODNA};7;y;n;n;{CANARY};3;t;image;Yes\n{SHA256[:32]};;;8;y;n;n;;;;;no;more;and\n"
    entries, reading = read(text)

    assert [signals(("md5", MD5), ("sha1", SHA1)), signals(("md5", SHA256[:32]))] == [e.signals for e in entries]
    assert [(Classification("icse", "baseline"),), ()] == [entry.classifications for entry in entries]
    assert {"photodna": 1} == dict(reading.unmatchable)
    assert 8 == reading.unknown_columns


def test_hashkeeper_and_partners_tables_are_read_by_their_header() -> None:
    """HashKeeper calls its md5 `hash`; any table that names a column of digests is understood."""
    keeper = '"file_id","hashset_id","file_name","directory","hash","file_size"\n' + f'1,2,"{CANARY}","d","{MD5}",9\n'

    assert [signals(("md5", MD5))] == [entry.signals for entry in read(keeper)[0]]
    assert [signals(("sha256", SHA256), ("pdq", PDQ))] == [
        entry.signals for entry in read(f"name\tPDQ\tSHA-256\n{CANARY}\t{PDQ}\t{SHA256}\n")[0]
    ]


def test_a_record_with_one_broken_digest_is_found_by_its_others() -> None:
    """Nothing listed is missed: the broken value is counted."""
    good = "".join(f"{number:032x},\n" for number in range(1, 100))
    entries, reading = read(f"md5,sha1\n{good}{MD5},{SHA1[:-1]}\n")

    assert signals(("md5", MD5)) == entries[-1].signals
    assert {"not_a_value": 1} == dict(reading.rejected)


def test_a_table_that_was_cut_off_imports_nothing() -> None:
    """A row too short at the very end, or a quote not closed."""
    whole = NSRL_V2 + "".join(f'"{n:040x}","{n:032x}","0000000A","a name",9,1,"WIN",""\r\n' for n in range(1, 40))
    rows = whole.encode()
    for at in range(len(rows) - 70, len(rows) - 6):
        assert "cut off" in refused(rows[:at])


# -- encase -----------------------------------------------------------------------------------------------------------


def encase(*digests: str) -> bytes:
    """A file as EnCase writes it."""
    header = bytes.fromhex("484153480d0aff00").ljust(1032, b"\1") + CANARY.encode("utf-16-le").ljust(78, b"\0")
    return header.ljust(1152, b"\0") + b"".join(bytes.fromhex(digest) + b"\x07\x00" for digest in digests)


def test_encase_gives_its_digests() -> None:
    """The set's name is not kept; the empty file is refused."""
    entries, reading = read(encase(MD5, EMPTY_MD5))

    assert [signals(("md5", MD5))] == [entry.signals for entry in entries]
    assert {"degenerate": 1} == dict(reading.rejected)


def test_encase_that_was_cut_off_imports_nothing() -> None:
    """In its header or in a record; and one without records is no list."""
    whole = encase(MD5, SHA256[:32])
    for at in (*range(8, 1153, 97), *range(1153, 1170), *range(1171, len(whole))):
        refused(whole[:at])
    assert "record 2" in refused(whole[:-1])

"""Members are looked at as parts of the content; what could not be looked at is said."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from dataclasses import replace

import pytest

from scanner.decoding import Budget, DecodeOptions, Limits, MediaFile, decode
from scanner.decoding.containers.streams import zstd
from scanner.types import WHOLE, MediaKind, Reason, Resume, digests_only, partial
from tests.scanner.decoding.containers.made import TEXT, film, noise, picture, tarred, zipped
from tests.scanner.decoding.looks import Look, look


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def shown(seen: Look) -> list[int | None]:
    """The members that showed something, each once."""
    return list(dict.fromkeys(each.member for each in seen.pictures))


def zstd_tar(*members: bytes) -> bytes:
    return zstd.compress(tarred(*members))


HOLDERS = {
    "zip": zipped,
    "zip stored": lambda *members: zipped(*members, method=zipfile.ZIP_STORED),
    "zip bzip2": lambda *members: zipped(*members, method=zipfile.ZIP_BZIP2),
    "zip lzma": lambda *members: zipped(*members, method=zipfile.ZIP_LZMA),
    "tar": tarred,
    "tar gnu": lambda *members: tarred(*members, form=tarfile.GNU_FORMAT),
    "tar.gz": lambda *members: tarred(*members, packed="gz"),
    "tar.bz2": lambda *members: tarred(*members, packed="bz2"),
    "tar.xz": lambda *members: tarred(*members, packed="xz"),
    "tar.zst": zstd_tar,
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_members_are_seen_as_they_are_alone(holder: str) -> None:
    """Pictures and films within give the values they give by themselves, and their digests, wherever they stand."""
    members = [picture(1), TEXT, film(), picture(2, "PNG"), picture(3, "GIF")]
    seen = look(HOLDERS[holder](*members))

    assert WHOLE == seen.looked
    assert MediaKind.OTHER is seen.kind
    media = {n: member for n, member in enumerate(members, 1) if n != 2}
    assert {n: sha256(member) for n, member in media.items()} == seen.digests
    assert {1: MediaKind.IMAGE, 3: MediaKind.VIDEO, 4: MediaKind.IMAGE, 5: MediaKind.IMAGE} == seen.members
    alone = [value for member in media.values() for value in look(member).values()]
    assert alone == seen.values()
    assert [1, 3, 4, 5] == shown(seen)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
def test_a_single_file_may_be_compressed(pack: object) -> None:
    """A picture or film alone in a compressed file is looked at, in several streams too."""
    assert callable(pack)
    content = film()
    seen = look(pack(content[:1000]) + pack(content[1000:]))

    assert WHOLE == seen.looked
    assert {1: sha256(content)} == seen.digests
    assert look(content).values() == seen.values()


@pytest.mark.parametrize("content", [zipped(), zipped(TEXT, TEXT), tarred(TEXT, packed="gz"), gzip.compress(TEXT)])
def test_without_media_it_is_clear(content: bytes) -> None:
    """A container whose every member was looked at and is plainly something else is whole, with nothing to compare."""
    seen = look(content)

    assert (WHOLE, MediaKind.OTHER, {}) == (seen.looked, seen.kind, seen.digests)


@pytest.mark.parametrize(
    "signature",
    [b"Rar!\x1a\x07\x01\0", b"7z\xbc\xaf\x27\x1c\0\4", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"MSCF\0\0\0\0", b"KDMV"],
)
def test_what_cannot_be_opened_is_not_clear(signature: bytes) -> None:
    """RAR, 7z, OLE and others end in a final reason."""
    assert digests_only(Reason.UNOPENED) == look(signature + noise(200)).looked
    assert not Reason.UNOPENED.retryable


def test_a_disk_image_is_not_clear() -> None:
    """ISO 9660 shows only behind its first 32 KiB."""
    assert digests_only(Reason.UNOPENED) == look(bytes(32_769) + b"CD001\1" + bytes(2000)).looked


def test_a_container_within_stays_closed() -> None:
    """Depth is one: what lies deeper is not looked at, its container's digests are, and the content is not clear."""
    inner = zipped(picture(1))
    seen = look(zipped(inner, picture(2)))

    assert partial(Reason.NESTED) == seen.looked
    assert {1: sha256(inner), 2: sha256(picture(2))} == seen.digests
    assert [2] == shown(seen)


def test_a_picture_that_is_an_archive_too() -> None:
    """A JPEG with a ZIP behind it is looked at as both, and stays an image."""
    seen = look(picture(1) + zipped(picture(2)))

    assert (WHOLE, MediaKind.IMAGE) == (seen.looked, seen.kind)
    assert [None, 1] == shown(seen)
    assert {1: sha256(picture(2))} == seen.digests


def test_a_program_that_unpacks_itself() -> None:
    """An archive behind a program is found, its offsets counted from the file's start or from its own."""
    stub = b"MZ\x90\0" + noise(5000)
    moved = bytearray(stub + zipped(picture(2)))
    end = moved.rindex(b"PK\5\6")
    central = moved.index(b"PK\1\2")
    struct.pack_into("<L", moved, end + 16, central)
    struct.pack_into("<L", moved, central + 42, len(stub))

    assert {1: sha256(picture(2))} == look(stub + zipped(picture(2))).digests == look(bytes(moved)).digests


def test_something_behind_an_archive() -> None:
    """Bytes appended to an archive hide nothing of it."""
    assert {1: sha256(picture(2))} == look(zipped(picture(2)) + b"appended" * 1000).digests


@pytest.mark.parametrize("lost", [1, 21, 60, 150])
def test_an_archive_without_its_end(lost: int) -> None:
    """A ZIP cut short is read from header to header, and is never whole."""
    content = zipped(picture(1), TEXT, picture(2))
    seen = look(content[:-lost])

    assert partial(Reason.TRUNCATED) == seen.looked
    assert [1, 3] == shown(seen)


def test_a_tar_cut_short() -> None:
    """What a torn archive shows is kept; it is never whole."""
    whole = tarred(picture(1), picture(2), packed="gz")
    torn = look(tarred(picture(1), noise(50_000))[:20_000])

    assert partial(Reason.TRUNCATED) == torn.looked
    assert [1] == shown(torn)
    assert Reason.TRUNCATED is look(whole[: len(whole) * 2 // 3]).looked.reason


def test_an_entry_in_no_directory_is_found() -> None:
    """What lies between listed entries, or before them, is looked at too."""
    hidden = zipped(picture(3))
    hidden = hidden[: hidden.index(b"PK\1\2")]
    content = zipped(picture(1), picture(2))
    second = content.index(b"PK\3\4", 10)
    central = content.index(b"PK\1\2")
    for at in (0, second, central):
        spliced = bytearray(content[:at] + hidden + content[at:])
        shifted = spliced.index(b"PK\1\2")
        struct.pack_into("<L", spliced, spliced.rindex(b"PK\5\6") + 16, shifted)
        for _ in range(2):
            (offset,) = struct.unpack_from("<L", spliced, shifted + 42)
            struct.pack_into("<L", spliced, shifted + 42, offset + (len(hidden) if offset >= at else 0))
            shifted = spliced.index(b"PK\1\2", shifted + 4) if _ == 0 else shifted
        seen = look(bytes(spliced))

        assert WHOLE == seen.looked
        assert {sha256(picture(n)) for n in (1, 2, 3)} == set(seen.digests.values())


def test_a_local_header_that_tells_otherwise_is_a_second_reading() -> None:
    """The directory says stored, the local header deflated: both readings are looked at."""
    content = bytearray(zipped(picture(1)))
    central = content.index(b"PK\1\2")
    struct.pack_into("<H", content, central + 10, 0)

    assert sha256(picture(1)) in look(bytes(content)).digests.values()


@pytest.mark.parametrize(
    ("method", "flags", "reason"),
    [
        (8, 1, Reason.ENCRYPTED),
        (99, 1, Reason.ENCRYPTED),
        (9, 0, Reason.UNOPENED),
        (98, 0, Reason.UNOPENED),
    ],
)
def test_members_that_stay_closed(method: int, flags: int, reason: Reason) -> None:
    """Encrypted members and methods that are not unpacked here are final reasons; the others are looked at."""
    content = bytearray(zipped(picture(1), picture(2)))
    central = content.index(b"PK\1\2")
    for at, place in ((0, 6), (central, 8)):
        struct.pack_into("<HH", content, at + place, flags, method)
    seen = look(bytes(content))

    assert partial(reason) == seen.looked
    assert [2] == shown(seen)


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, member in members.items():
            file.writestr(name.replace("__", "/").replace("_xml", ".xml"), member)
    return stream.getvalue()


def test_documents_that_encrypt_their_members() -> None:
    """OpenDocument and EPUB say in a member that others are encrypted; obscured fonts do not count."""
    manifest = b"<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    pictures = b"<EncryptedData><EncryptionMethod Algorithm='aes128-cbc'/></EncryptedData>"
    fonts = b"<EncryptedData><EncryptionMethod Algorithm='http://www.idpf.org/2008/embedding'/></EncryptedData>"

    assert Reason.ENCRYPTED is look(archive(**{"META-INF__manifest_xml": manifest}, a=noise(99))).looked.reason
    assert Reason.ENCRYPTED is look(archive(**{"META-INF__encryption_xml": pictures}, a=noise(99))).looked.reason
    assert WHOLE == look(archive(**{"META-INF__encryption_xml": fonts}, a=picture(1))).looked


def test_large_sizes() -> None:
    """ZIP64 fields are read where the short ones overflow."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file,
        file.open(zipfile.ZipInfo("a"), "w", force_zip64=True) as member,
    ):
        member.write(picture(1))
    content = bytearray(stream.getvalue())
    central = content.index(b"PK\1\2")
    packed, size = struct.unpack_from("<LL", content, central + 20)
    struct.pack_into("<LL", content, central + 20, 0xFFFFFFFF, 0xFFFFFFFF)
    extra = struct.pack("<HHQQ", 1, 16, size, packed)
    struct.pack_into("<H", content, central + 30, len(extra))
    content[central + 47 : central + 47] = extra
    struct.pack_into("<L", content, content.rindex(b"PK\5\6") + 12, 47 + len(extra))

    seen = look(bytes(content))
    assert (WHOLE, {1: sha256(picture(1))}) == (seen.looked, seen.digests)


def test_a_broken_member_is_said() -> None:
    """A member that no decoder reads leaves the others as they are, and the container not whole."""
    seen = look(zipped(picture(1), b"\xff\xd8\xff\xe0" + noise(300), picture(2)))

    assert partial(Reason.UNDECODABLE) == seen.looked
    assert [1, 3] == shown(seen)


def test_links_in_a_tar_are_not_followed() -> None:
    """Links, devices and folders hold nothing; the size they claim is not believed."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
            entry = tarfile.TarInfo("a")
            entry.type, entry.linkname, entry.size = kind, "/etc/passwd", 0
            file.addfile(entry)
        entry = tarfile.TarInfo("b")
        entry.size = len(picture(1))
        file.addfile(entry, io.BytesIO(picture(1)))
    seen = look(stream.getvalue())

    assert (WHOLE, {1: sha256(picture(1))}) == (seen.looked, seen.digests)


def test_a_sparse_member_is_not_pieced_together() -> None:
    """A sparse file within a tar is counted, and what follows it is found."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as file:
        entry = tarfile.TarInfo("a")
        entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        entry.size = len(picture(2))
        file.addfile(entry, io.BytesIO(picture(2)))
        entry = tarfile.TarInfo("b")
        entry.size = len(picture(1))
        file.addfile(entry, io.BytesIO(picture(1)))
    seen = look(stream.getvalue())

    assert partial(Reason.UNOPENED) == seen.looked
    assert [2] == shown(seen)


class CountedBudget(Budget):
    """Runs out after some checks, whatever the machine."""

    def __init__(self, checks: int, resume: Resume | None = None) -> None:
        super().__init__(Limits(), resume)
        self.left = checks

    def check(self) -> None:
        from scanner.decoding import OverBudget

        self.left -= 1
        if self.left < 0:
            raise OverBudget


def test_a_look_that_ends_early_goes_on_at_the_member() -> None:
    """Looks of any budget add up to one look: each member once, and reasons found on the way are kept."""
    content = zipped(picture(1), zipped(TEXT), picture(2), b"\xff\xd8\xff\xe0" + noise(300), picture(3, "PNG"), film())
    whole = look(content)
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        for checks in (40, 60, 90):
            start: Resume | None = None
            digests: dict[int, bytes] = {}
            for _ in range(60):
                seen = Look()
                seen.looked = decode(MediaFile(fd), DecodeOptions(), CountedBudget(checks, start), seen, start)
                digests |= seen.digests
                if seen.looked.reason is not Reason.OVER_BUDGET:
                    break
                reached = seen.marks[-1]
                stuck = start is not None and reached.at == start.at
                start = replace(reached, fruitless=start.fruitless + 1 if stuck and start else 0)
            else:
                pytest.fail("never ends")

            assert partial(Reason.NESTED) == whole.looked == seen.looked
            assert whole.digests == digests
    finally:
        os.close(fd)


def test_a_member_that_never_fits_is_passed_over() -> None:
    """After two looks that ended in one member, the next goes on behind it and says so."""
    content = zipped(picture(1), picture(2), picture(3))
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        seen = Look()
        start = Resume(1, members=True, fruitless=2)
        looked = decode(MediaFile(fd), DecodeOptions(), Budget(Limits(), start), seen, start)
    finally:
        os.close(fd)

    assert partial(Reason.OVER_BUDGET) == looked
    assert [3] == shown(seen)
    assert seen.marks[-1].gaps


def test_large_pictures_of_members_are_over_budget_and_the_rest_is_seen() -> None:
    """A member too large for any budget leaves a gap, owed; the members behind it are looked at."""
    enormous = bytearray(picture(3, "PNG"))
    struct.pack_into(">LL", enormous, 16, 60_000, 60_000)
    struct.pack_into(">L", enormous, 29, zlib.crc32(enormous[12:29]))
    seen = look(zipped(picture(1), bytes(enormous), picture(2)))

    assert partial(Reason.OVER_BUDGET) == seen.looked
    assert [1, 3] == shown(seen)

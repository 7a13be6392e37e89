"""What is fuzzed: every reader of bytes that others wrote. A target returns, or lets out what no caller expects."""

from __future__ import annotations

import collections
import contextlib
import gzip
import hashlib
import io
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashsets import hashtypes
from hashsets.errors import HashsetsError, SegmentRefused
from hashsets.formats import Options, Reading, read_list
from hashsets.matching import container
from hashsets.sources.ncmec_xml import Selection, parse_answer
from hashsets.types import Entry, Signal
from scanner import config, reports, resuming
from scanner.config import Home
from scanner.decoding import Budget, Limits, MediaFile, Picture
from scanner.decoding.containers import containers_in, look_inside
from scanner.decoding.sniffing import HEAD_BYTES, Sniffed, sniff
from scanner.errors import ConfigError, LedgerError, ReportError
from scanner.isolation import records
from scanner.ledger.packing import QueryBuilder, pack, unpack
from scanner.types import WHOLE, Landing, MediaKind, Reason, Resume, digests_only
from tests.fuzzing.door_targets import DOOR_TARGETS
from tests.scanner.decoding.containers.made import pdf, tarred, zipped

_PDQ = Signal("pdq", bytes(range(32)), "image/pdq/1", 80)
_FRAMES = [Signal("pdq", bytes([n]) * 32, "video/pdq/1", n, frame=n, frame_ms=n * 40) for n in range(9)]
_PHASH = Signal("phash", bytes(8))
_RESUME = Resume(7, 280, 40, bytes(32), True, True, 1, 99, True, True, Landing(1, -2, 3, 4))
_FOLDER = Path(tempfile.gettempdir())


@dataclass(frozen=True)
class Target:
    """A reader, inputs it takes, and words that mean something to it."""

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()


def _record(given: bytes) -> None:
    with contextlib.suppress(records.BadRecord):
        records.parse(given)


def _resume(given: bytes) -> None:
    with contextlib.suppress(resuming.BadResume):
        assert given == resuming.encode(resuming.decode(given))


def _page(given: bytes) -> None:
    with contextlib.suppress(HashsetsError):
        parse_answer(given, Selection("npo-csam"), Reading())


def _list(given: bytes) -> None:
    # The first byte chooses the type that is given with the list, if any.
    type_name = (None, "md5", "pdq", "sha256")[given[0] % 4] if given else None
    reading = Reading()
    with contextlib.suppress(HashsetsError):
        for entry in read_list(io.BytesIO(given[1:]), Options(type_name), reading):
            assert entry.key
            for signal in entry.signals if isinstance(entry, Entry) else ():
                assert len(signal.value) == hashtypes.get(signal.hash_type).size_bytes


def _sniff(given: bytes) -> None:
    assert isinstance(sniff(given[:HEAD_BYTES]), Sniffed)


def _packing(given: bytes) -> None:
    with contextlib.suppress(LedgerError):
        held = unpack(given)
        assert len(held) <= 16 * len(given)
        assert sorted(map(repr, held)) == sorted(map(repr, unpack(pack(held))))
    with contextlib.suppress(LedgerError):
        builder = QueryBuilder()
        builder.add(1, (), given)
        builder.queries()


class _Takes:
    """Takes what a container shows, and forgets it."""

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Ignore."""

    def picture(self, picture: Picture) -> None:
        """Ignore."""

    def mark(self, resume: Resume) -> None:
        """Positions are such as the ledger can hold."""
        assert resume == resuming.decode(resuming.encode(resume))

    def member(self, number: int, kind: MediaKind) -> None:
        """Ignore."""

    def digest(self, number: int, blocks: Iterable[bytes]) -> None:
        """Read it all."""
        assert number > 0
        collections.deque(blocks, 0)


def _container(given: bytes) -> None:
    """Archives and documents are listed, unpacked and drawn; decoders of what is in them are not this target's."""
    fd = os.memfd_create("container")
    try:
        os.write(fd, given)
        file = MediaFile(fd)
        head = file.at(0, HEAD_BYTES)
        names = containers_in(file, head, sniff(head)) or ("zip", "tar", "pdf")
        look_inside(names, file, sniff(head), lambda *_: WHOLE, Budget(Limits(decode_bytes=2**24)), _Takes(), None)
    finally:
        os.close(fd)


def _config(given: bytes) -> None:
    with contextlib.suppress(ConfigError):
        config.parse(given, _FOLDER, Home(_FOLDER))


def _event(given: bytes) -> None:
    with contextlib.suppress(ReportError):
        report = reports.parse_event(given)
        assert reports.parse_event(reports.encode_event(report)) == report


def _segment(given: bytes) -> None:
    pdq = hashtypes.get("pdq")
    if len(given) >= container.PAGE:  # seal what was changed, or only the checksum would ever be tried
        rest = given[40 : container.PAGE]
        given = given[:8] + hashlib.sha256(rest).digest() + rest + given[container.PAGE :]
    with tempfile.NamedTemporaryFile() as file:
        file.write(given)
        file.flush()
        with contextlib.suppress(SegmentRefused):
            found = container.read(Path(file.name), "inventory", pdq, b"stamp")
            for array in found.arrays.values():
                array.sum()


def _segment_seed() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segment"
        arrays = {"values": np.arange(64, dtype=np.uint8), "seqs": np.arange(2, dtype=np.uint64)}
        made = container.Contents("inventory", hashtypes.get("pdq"), b"stamp", {"rows": 2}, arrays)
        container.write(path, made)
        return path.read_bytes()


def _event_seed() -> bytes:
    from hashsets.types import EntryHit
    from scanner.types import Trigger

    hit = EntryHit(1, bytes(16), b"key", "r-1", (), 1, "pdq", 3, frozenset())
    body = reports.anonymise(hit, hash_set="A", media=MediaKind.IMAGE, trigger=Trigger.SCAN, day="2026-01-01")
    sealed = reports.seal([body], reports.system_random())
    return reports.encode_event(sealed.reports[0].report)


def _containers() -> tuple[bytes, ...]:
    pixels = zlib.compress(bytes(range(64)) * 16)
    image = b"/Subtype/Image/Width 32/Height 32/BitsPerComponent 8/Filter/FlateDecode/ColorSpace"
    inline = b"q BI /W 40/H 40/BPC 1/IM true/F/RL ID abcdefgh EI Q"
    document = pdf(
        (image + b"[/Indexed/RGB 1<000102030405>]", pixels),
        (image + b"/DeviceGray/DecodeParms<</Predictor 2>>", pixels),
        (b"/Type/ObjStm/N 2/First 10", b"5 0 6 3 <<>> [1 2]"),
        (b"/Filter[/A85/LZW]", inline),
        (b"", inline),
    )
    text = b"text " * 50
    return (
        zipped(text, b"GIF89a" + text),
        tarred(text, b"GIF89a"),
        tarred(text, packed="gz"),
        gzip.compress(text),
        document,
    )


_MD5, _HEX = b"d41d8cd98f00b204e9800998ecf8427f", b"0f" * 32
TARGETS = (
    Target(
        "record",
        _record,
        (
            records.pack_signal(_PDQ),
            records.pack_media(MediaKind.VIDEO, 5000),
            records.pack_end(MediaKind.IMAGE, WHOLE),
            records.pack_end(MediaKind.OTHER, digests_only(Reason.TIMEOUT)),
            records.pack_resume(_RESUME),
        ),
    ),
    Target("resume", _resume, (resuming.encode(_RESUME), resuming.encode(Resume(0, 0)))),
    Target(
        "page",
        _page,
        (
            b'<?xml version="1.0"?><queryResult><images><image><member id="4">N</member><id>i</id><fingerprints><md5>'
            + _MD5
            + b"</md5></fingerprints></image><deletedImage><member id='4'/><id>j</id></deletedImage></images>"
            b"<paging><next>/v2/entries?start=2</next></paging></queryResult>",
        ),
        (b"<!DOCTYPE a>", b"&a;", b"<video>", b"encoding='utf-16'", b"<![CDATA[", b"</"),
    ),
    Target(
        "list",
        _list,
        (
            b"\0type,value,ref,scheme,code,shape\nmd5," + _MD5 + b",r1,s,A1,item\npdq," + _HEX + b",r1,,,\n",
            b'\0value;type\n"' + _HEX + b'";"pdq"\r\n',
            b"\0pdq " + _HEX + b"\n# said\nmd5 " + _MD5 + b"\n",
            b"\1" + _MD5 + b"\n" + _MD5.upper() + b"\n",
            b"\0\xef\xbb\xbf" + _HEX + b"\n",
            b"\0" + "type,value\nmd5,".encode("utf-16") + _MD5,
            b"\0" + _MD5 + b"  a b\nMD5 (x) = " + _MD5 + b"\n",
            b"\0%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n# x\n9," + _MD5 + b",a,b\n",
            b'\0"SHA-1","MD5","FileName","SpecialCode"\r\n"","' + _MD5 + b'","n",""\r\n',
            b'\0{"@odata.context":"x/DataModels/2.0/US/","value":[{"MediaID":1,"Category":1,"MD5":"' + _MD5 + b'"}]}',
            b'\0{"data":[{"id":"1","type":"HASH_MD5","indicator":"' + _MD5 + b'","descriptors":[]},{"id":"2"}]}',
            b'\0{"ref":"a","signals":[{"type":"md5","value":"' + _MD5 + b'"}]}\n{"ref":"a","withdrawn":true}\n',
            b"\0" + bytes.fromhex("484153480d0aff00").ljust(1152, b"\0") + bytes(18),
            b"\0" + gzip.compress(_MD5 + b"\n", mtime=0),
        ),
        (
            *(b"type,value", b"ref", b"shape", b"frames", b"sha256", b"phash", b"photodna"),
            *(b"\r\n", b'"', b",", b"\t", b";", b"\0"),
        ),
    ),
    Target(
        "sniff",
        _sniff,
        (
            b"\xff\xd8\xff\xe0\0\x10JFIF", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"GIF89a\1\0\1\0", b"RIFF\0\0\0\0WEBPVP8 ",
            b"\0\0\0\x18ftypmp42", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<?xml version='1.0'?><!-- --><svg>",
            b"plain text\n", b"PK\3\4", b"%PDF-1.7", b"G" + bytes(187) + b"G" + bytes(187) + b"G", b"P6 8 8 255\n",
            b"\0\0\2\0\0\0\0\0\0\0\0\0\10\0\10\0\x18\0", "<svg>".encode("utf-16"), b"",
        ),
        (b"<svg", b"<!DOCTYPE", b"\xff\xfe", b"\xfe\xff", b"heic", b"avif", b"qt  ", b"moov"),
    ),
    Target("packing", _packing, (pack([_PDQ]), pack(_FRAMES), pack([_PDQ, *_FRAMES, _PHASH]), pack([]))),
    Target("container", _container, _containers(), (b"PK\1\2", b"PK\3\4", b"PK\5\6", b" obj<<", b"stream\n", b" BI ")),
    Target(
        "config",
        _config,
        (
            b'[scan]\nworkers = 2\ninclude = ["*.jpg"]\n[limits]\nimage_seconds = 5.0\n',
            b'[[sink]]\nname = "a"\nkind = "http"\nurl = "https://example.org/x"\nhash_sets = ["A"]\n',
            b'[[sink]]\nname = "a"\nkind = "jsonl"\npath = "x"\n[report]\nseal = "daily"\nsource = "urn:x"\n',
        ),
        (
            *(b"[%s]\n%s = " % tuple(setting.name.encode().rsplit(b".", 1)) for setting in config.SETTINGS),
            *(b"[", b"[[", b"]", b"=", b"{", b"inf", b"nan", b"-1", b"1979-05-27", b"true", b'"""', b"http://["),
            *(b"\\u0000", b"\n"),
        ),
    ),
    Target("event", _event, (_event_seed(),), (b"null", b"[]", b"{}", b"1e999", b'"', b"\\ud800", b"true", b"-0")),
    Target("segment", _segment, (_segment_seed(),), (b"uint64", b"4096", b"-1", b"[", b"]", b"null")),
    *(Target(*each) for each in DOOR_TARGETS),
)  # fmt: skip

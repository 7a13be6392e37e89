"""What a content is, by its first bytes, never by its name.

Rules
- NOT_MEDIA is claimed only for what is plainly something else: empty, text, programs, fonts.
- CONTAINER is what may hold media: archives, compressed files, documents, disk images; those that cannot be opened here
  stand in the table too, as they are not clear.
- UNKNOWN means that no signature is known: every decoder is asked, and only if all refuse is it "not media".
- A known media signature that decodes nowhere is undecodable, never clear; so formats that no decoder here reads stand
  in the table too. So do EPS and SVG, pictures that only programs render; PostScript is a program.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

HEAD_BYTES = 4096


class Form(Enum):
    """How a content is to be decoded."""

    STILL = auto()
    VIDEO = auto()
    AUDIO = auto()
    CONTAINER = auto()
    NOT_MEDIA = auto()
    UNKNOWN = auto()


class Sniffed(NamedTuple):
    """The form and the name of the format."""

    form: Form
    name: str


# (offset, signature, form, name), from each format's specification; the first that fits wins.
_SIGNATURES: tuple[tuple[int, bytes, Form, str], ...] = (
    (0, b"\xff\xd8", Form.STILL, "jpeg"),
    (1, b"PNG\r\n", Form.STILL, "png"),
    (0, b"\x89PNG", Form.STILL, "png"),
    (0, b"\x8aMNG", Form.STILL, "mng"),
    (0, b"\x8bJNG", Form.STILL, "jng"),
    (0, b"GIF8", Form.STILL, "gif"),
    (8, b"WEBP", Form.STILL, "webp"),
    (0, b"II*\0", Form.STILL, "tiff"),
    (0, b"MM\0*", Form.STILL, "tiff"),
    (0, b"II+\0", Form.STILL, "tiff"),
    (0, b"MM\0+", Form.STILL, "tiff"),
    (0, b"IIRO", Form.STILL, "tiff"),
    (0, b"IIU\0", Form.STILL, "tiff"),
    (0, b"II\xbc", Form.STILL, "jxr"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Form.STILL, "jpeg2000"),
    (0, b"\xff\x4f\xff\x51", Form.STILL, "jpeg2000"),
    (0, b"\xff\x0a", Form.STILL, "jxl"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", Form.STILL, "jxl"),
    (0, b"\0\0\1\0", Form.STILL, "ico"),
    (0, b"\0\0\2\0", Form.STILL, "cur"),
    (0, b"icns", Form.STILL, "icns"),
    (0, b"8BPS", Form.STILL, "psd"),
    (0, b"DDS ", Form.STILL, "dds"),
    (0, b"qoif", Form.STILL, "qoi"),
    (0, b"BLP1", Form.STILL, "blp"),
    (0, b"BLP2", Form.STILL, "blp"),
    (0, b"FTEX", Form.STILL, "ftex"),
    (0, b"\x01\xda", Form.STILL, "sgi"),
    (0, b"DanM", Form.STILL, "msp"),
    (0, b"LinS", Form.STILL, "msp"),
    (0, b"\x76\x2f\x31\x01", Form.STILL, "exr"),
    (0, b"#?RADIANCE", Form.STILL, "hdr"),
    (0, b"#?RGBE", Form.STILL, "hdr"),
    (0, b"SDPX", Form.STILL, "dpx"),
    (0, b"XPDS", Form.STILL, "dpx"),
    (0, b"\x59\xa6\x6a\x95", Form.STILL, "sunrast"),
    (0, b"gimp xcf ", Form.STILL, "xcf"),
    (0, b"SIMPLE  =", Form.STILL, "fits"),
    (0, b"\xb1\x68\xde\x3a", Form.STILL, "dcx"),
    (0, b"/* XPM */", Form.STILL, "xpm"),
    (0, b"P7 332", Form.STILL, "xvthumb"),
    (20, b"GIMP", Form.STILL, "gbr"),
    (0, b"Image type: ", Form.STILL, "im"),
    (0, b"FUJIFILMCCD-RAW", Form.STILL, "raw"),
    (0, b"FOVb", Form.STILL, "raw"),
    (0, b"\0MRM", Form.STILL, "raw"),
    (0, b"II\x1a\0\0\0HEAP", Form.STILL, "raw"),
    (8, b"ACON", Form.STILL, "ani"),
    (0, b"AT&TFORM", Form.STILL, "djvu"),
    (0, b"\xd7\xcd\xc6\x9a", Form.STILL, "wmf"),
    (40, b" EMF", Form.STILL, "emf"),
    (0, b"BPG\xfb", Form.STILL, "bpg"),
    (0, b"\x97JB2\r\n\x1a\n", Form.STILL, "jbig2"),
    (0, b"Paint Shop Pro Image File", Form.STILL, "psp"),
    (0, b"PDN3", Form.STILL, "pdn"),
    (0, b"id=ImageMagick", Form.STILL, "miff"),
    (128, b"DICM", Form.STILL, "dicom"),
    (0, b"FLIF", Form.STILL, "flif"),
    (0, b"\xff\x10\xff\x50", Form.STILL, "jpegxs"),
    (0, b"\x13\xab\xa1\x5c", Form.STILL, "astc"),
    (0, b"VTF\0", Form.STILL, "vtf"),
    (0, b"\xabKTX ", Form.STILL, "ktx"),
    (8, b"ILBM", Form.STILL, "ilbm"),
    (8, b"PBM ", Form.STILL, "ilbm"),
    (4, b"ftyp", Form.VIDEO, "mp4"),
    (4, b"moov", Form.VIDEO, "mp4"),
    (4, b"mdat", Form.VIDEO, "mp4"),
    (4, b"wide", Form.VIDEO, "mp4"),
    (4, b"moof", Form.VIDEO, "mp4"),
    (4, b"styp", Form.VIDEO, "mp4"),
    (4, b"free\0", Form.VIDEO, "mp4"),
    (4, b"skip\0", Form.VIDEO, "mp4"),
    (4, b"pnot", Form.VIDEO, "mp4"),
    (0, b"\x1a\x45\xdf\xa3", Form.VIDEO, "matroska"),
    (8, b"AVI ", Form.VIDEO, "avi"),
    (8, b"AVIX", Form.VIDEO, "avi"),
    (0, b"FLV", Form.VIDEO, "flv"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Form.VIDEO, "asf"),
    (0, b"OggS", Form.VIDEO, "ogg"),
    (0, b"DKIF", Form.VIDEO, "ivf"),
    (0, b"\0\0\1\xba", Form.VIDEO, "mpeg-ps"),
    (0, b"\0\0\1\xb3", Form.VIDEO, "mpeg-video"),
    (0, b"\0\0\1\xb0", Form.VIDEO, "m4v"),
    (0, b"YUV4MPEG2", Form.VIDEO, "y4m"),
    (0, b".RMF", Form.VIDEO, "rm"),
    (0, b"\x06\x0e\x2b\x34", Form.VIDEO, "mxf"),
    (0, b"nut/multimedia", Form.VIDEO, "nut"),
    (4, b"\x11\xaf", Form.VIDEO, "fli"),
    (4, b"\x12\xaf", Form.VIDEO, "fli"),
    (0, b"FWS", Form.VIDEO, "swf"),
    (0, b"CWS", Form.VIDEO, "swf"),
    (0, b"ZWS", Form.VIDEO, "swf"),
    (0, b"\0\0\0\0\1\xbc", Form.VIDEO, "gxf"),
    (0, b"\0\nSMJPEG", Form.VIDEO, "smjpeg"),
    (0, b"\x84\x10\xff\xff\xff\xff", Form.VIDEO, "roq"),
    (0, b"\0\0\2\x80\1", Form.VIDEO, "dnxhd"),
    (8, b"AMV ", Form.VIDEO, "amv"),
    (0, b"BIKi", Form.VIDEO, "bink"),
    (0, b"SMK2", Form.VIDEO, "smacker"),
    (0, b"ID3", Form.AUDIO, "mp3"),
    (0, b"fLaC", Form.AUDIO, "flac"),
    (8, b"WAVE", Form.AUDIO, "wav"),
    (8, b"AIFF", Form.AUDIO, "aiff"),
    (0, b"MAC ", Form.AUDIO, "ape"),
    (0, b"TTA1", Form.AUDIO, "tta"),
    (0, b"wvpk", Form.AUDIO, "wavpack"),
    (0, b"MPCK", Form.AUDIO, "musepack"),
    (0, b"MP+", Form.AUDIO, "musepack"),
    (0, b"DSD ", Form.AUDIO, "dsf"),
    (0, b"PK\x03\x04", Form.CONTAINER, "zip"),
    (0, b"PK\x05\x06", Form.CONTAINER, "zip"),
    (0, b"PK\x07\x08PK", Form.CONTAINER, "zip"),
    (0, b"PK\x06\x06", Form.CONTAINER, "zip"),
    (0, b"%PDF-", Form.CONTAINER, "pdf"),
    (0, b"%!PS", Form.NOT_MEDIA, "postscript"),
    (0, b"\xc5\xd0\xd3\xc6", Form.STILL, "eps"),
    (0, b"Rar!\x1a\x07", Form.CONTAINER, "rar"),
    (0, b"7z\xbc\xaf\x27\x1c", Form.CONTAINER, "7z"),
    (0, b"\x1f\x8b\x08", Form.CONTAINER, "gzip"),
    (0, b"BZh", Form.CONTAINER, "bzip2"),
    (0, b"\xfd7zXZ\0", Form.CONTAINER, "xz"),
    (0, b"\x28\xb5\x2f\xfd", Form.CONTAINER, "zstd"),
    (257, b"ustar", Form.CONTAINER, "tar"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Form.CONTAINER, "ole"),
    (0, b"MSCF\0\0\0\0", Form.CONTAINER, "cab"),
    (2, b"-lh", Form.CONTAINER, "lha"),
    (2, b"-lz", Form.CONTAINER, "lha"),
    (0, b"\x60\xea", Form.CONTAINER, "arj"),
    (7, b"**ACE**", Form.CONTAINER, "ace"),
    (0, b"SIT!", Form.CONTAINER, "stuffit"),
    (0, b"StuffIt", Form.CONTAINER, "stuffit"),
    (0, b"xar!", Form.CONTAINER, "xar"),
    (0, b"LZIP", Form.CONTAINER, "lzip"),
    (0, b"\x04\x22\x4d\x18", Form.CONTAINER, "lz4"),
    (0, b"\x1f\x9d", Form.CONTAINER, "compress"),
    (0, b"\x89LZO\0", Form.CONTAINER, "lzop"),
    (0, b"070701", Form.CONTAINER, "cpio"),
    (0, b"070702", Form.CONTAINER, "cpio"),
    (0, b"070707", Form.CONTAINER, "cpio"),
    (0, b"!<arch>\ndebian-binary", Form.CONTAINER, "deb"),
    (0, b"\xed\xab\xee\xdb", Form.CONTAINER, "rpm"),
    (0, b"MSWIM\0\0\0", Form.CONTAINER, "wim"),
    (0, b"hsqs", Form.CONTAINER, "squashfs"),
    (0, b"QFI\xfb", Form.CONTAINER, "qcow"),
    (0, b"KDMV", Form.CONTAINER, "vmdk"),
    (0, b"vhdxfile", Form.CONTAINER, "vhdx"),
    (0, b"conectix", Form.CONTAINER, "vhd"),
    (64, b"\x7f\x10\xda\xbe", Form.CONTAINER, "vdi"),
    (0, b"LUKS\xba\xbe", Form.CONTAINER, "luks"),
    (3, b"NTFS    ", Form.CONTAINER, "ntfs"),
    (3, b"EXFAT   ", Form.CONTAINER, "exfat"),
    (82, b"FAT32   ", Form.CONTAINER, "fat"),
    (54, b"FAT16   ", Form.CONTAINER, "fat"),
    (54, b"FAT12   ", Form.CONTAINER, "fat"),
    (512, b"EFI PART", Form.CONTAINER, "disk"),
    (0, b"XFSB\0\0", Form.CONTAINER, "xfs"),
    (32, b"NXSB", Form.CONTAINER, "apfs"),
    (1024, b"H+\0\4", Form.CONTAINER, "hfs"),
    (1024, b"HX\0\5", Form.CONTAINER, "hfs"),
    (0, b"!<arch>\n", Form.NOT_MEDIA, "library"),
    (0, b"\x7fELF", Form.NOT_MEDIA, "elf"),
    (0, b"\xca\xfe\xba\xbe", Form.NOT_MEDIA, "class"),
    (0, b"SQLite format 3\0", Form.NOT_MEDIA, "sqlite"),
    (0, b"OTTO\0", Form.NOT_MEDIA, "font"),
    (0, b"\0\1\0\0\0", Form.NOT_MEDIA, "font"),
    (0, b"wOFF", Form.NOT_MEDIA, "font"),
    (0, b"wOF2", Form.NOT_MEDIA, "font"),
)

# Brands of ISO base media files that hold stills (ISO 23008-12, AVIF specification).
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx mif1 msf1 mif2 mif3 miaf jpeg j2ki avci avcs vvic".split())
_ANNEX_B = re.compile(rb"\0?\0\0\x01[\x01-\x7f]")
_PNM = re.compile(rb"P[1-7fF]\s+[#\d-]|P7\s|PyRGBA|PyP|PyCMYK|P0CMYK")
_XBM = re.compile(rb"\s*#define[ \t]+\S*_width[ \t]+\d")
# What may stand before the first element of an XML document (XML 1.0, 2.8), and that element. Where the head ends
# before it (`\Z`), it may be <svg>. Possessive groups never go back, so that hostile text costs no time.
_SVG = re.compile(
    r"\ufeff?\s*+(?:(?:<\?(?!php|=).*?(?:\?>|\Z)|<!--.*?(?:-->|\Z)"
    r"|<!DOCTYPE\s+(?:\w+:)?svg\b[^\[>]*+(?:\[.*?(?:\]\s*>|\Z)|>|\Z))\s*+)*+(?:<(?:[\w.-]+:)?svg(?:[\s/>]|\Z)|(\Z))",
    re.DOTALL,
)
_EPS = re.compile(rb"%!PS-Adobe-[\d.]+ EPSF")
# Control characters that no text has, and what stands for bytes that are none: all but \b \t \n \f \r and escape.
_UNPRINTABLE = re.compile(r"[\x00-\x07\x0b\x0e-\x1a\x1c-\x1f\ufffd]")


def sniff(head: bytes) -> Sniffed:
    """The form and format of a content by its first `HEAD_BYTES` bytes (fewer only when the content is shorter)."""
    if not head:
        return Sniffed(Form.NOT_MEDIA, "empty")
    if _EPS.match(head):
        return Sniffed(Form.STILL, "eps")
    for offset, signature, form, name in _SIGNATURES:
        if head.startswith(signature, offset) and _confirmed(head, name):
            return _refined(head, Sniffed(form, name))
    return _without_signature(head)


def _confirmed(head: bytes, name: str) -> bool:
    """Whether the short signature of `name` is borne out by the bytes around it."""
    if name in ("webp", "avi", "wav", "ani", "amv"):
        return head[:4] in (b"RIFF", b"RIFX")
    if name in ("ilbm", "aiff"):
        return head[:4] == b"FORM"
    if name in ("ico", "cur"):
        return len(head) >= 6 and 0 < int.from_bytes(head[4:6], "little") < 1024
    if name == "swf":
        return len(head) >= 8 and 0 < head[3] < 64 and head[7] < 64  # version; no film of a gigabyte
    if name == "emf":
        return head[:4] == b"\1\0\0\0"
    if name == "fli":
        return len(head) >= 12 and 0 < int.from_bytes(head[8:10], "little") <= 8192
    if name == "lha":
        return len(head) > 21 and head[6:7] == b"-" and head[5:6] in b"0123456789ds"
    if name == "arj":
        return len(head) > 10 and 20 <= int.from_bytes(head[2:4], "little") <= 2600 and head[10] == 2
    if name == "compress":
        return len(head) > 2 and head[2] & 0x60 == 0 and 9 <= head[2] & 0x1F <= 16
    if name == "cpio":
        return len(head) > 76 and head[6:70].isalnum()
    if name == "bzip2":
        return head[3:4] in b"123456789" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90")
    if name in ("fat", "ntfs", "exfat", "disk"):
        return head[510:512] == b"\x55\xaa"
    if name == "tar":
        return is_tar_header(head[:_TAR_BLOCK])
    return True


_TAR_BLOCK = 512


def is_tar_header(block: bytes) -> bool:
    """Whether 512 bytes are a tar header, of ustar or older: the sum of its bytes stands in it (POSIX 1003.1)."""
    if len(block) < _TAR_BLOCK or block[0] == 0:
        return False
    stated = block[148:156].strip(b" \0")
    if not 0 < len(stated) < 8 or stated.strip(b"01234567"):
        return False
    rest = block[:148] + b" " * 8 + block[156:_TAR_BLOCK]
    signed = sum(rest) - 256 * sum(byte > 127 for byte in rest)  # as some writers of old did it
    return int(stated, 8) in (sum(rest), signed)


def _refined(head: bytes, found: Sniffed) -> Sniffed:
    """ISO base media files told apart by their brands, and animated PNG by its control chunk."""
    if found.name == "mp4" and head[4:8] == b"ftyp":
        length = min(max(16, int.from_bytes(head[:4], "big")), len(head))
        brands = [head[8:12], *(head[i : i + 4] for i in range(16, length, 4))]
        if any(brand in _AVIF_BRANDS for brand in brands):
            return Sniffed(Form.STILL, "avif")
        if brands[0] in _HEIF_BRANDS or (brands[0] not in (b"isom", b"mp42") and b"heic" in brands):
            return Sniffed(Form.STILL, "heif")
        if brands[0] == b"crx ":
            return Sniffed(Form.STILL, "raw")
    return found


def _without_signature(head: bytes) -> Sniffed:
    """Formats known by a pattern rather than a fixed signature, then text, then UNKNOWN."""
    if is_tar_header(head[:_TAR_BLOCK]):
        return Sniffed(Form.CONTAINER, "tar")
    if _is_disk(head):
        return Sniffed(Form.CONTAINER, "disk")
    if _PNM.match(head):
        return Sniffed(Form.STILL, "pnm")
    if head[:2] == b"BM" and (head[14:18] in _BMP_HEADERS or not _is_text(head)):
        return Sniffed(Form.STILL, "bmp")
    if len(head) > 4 and head[0] == 0x0A and head[1] in (0, 2, 3, 4, 5) and head[2] == 1:
        return Sniffed(Form.STILL, "pcx")
    if _XBM.match(head):
        return Sniffed(Form.STILL, "xbm")
    if _is_transport_stream(head):
        return Sniffed(Form.VIDEO, "mpegts")
    if _ANNEX_B.match(head):
        return Sniffed(Form.VIDEO, "h26x-annexb")
    if head[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9"):
        return Sniffed(Form.AUDIO, "mpeg-audio")
    if head[:2] == b"MZ":
        return Sniffed(Form.NOT_MEDIA, "program")
    if _is_text(head):
        return Sniffed(Form.STILL, "svg") if _is_svg(head) else Sniffed(Form.NOT_MEDIA, "text")
    if head[:1] == b"P" and head[1:2] in b"1234567":
        return Sniffed(Form.STILL, "pnm")
    if _is_targa(head):
        return Sniffed(Form.STILL, "tga")
    if _may_be_targa(head):
        return Sniffed(Form.UNKNOWN, "tga")
    return Sniffed(Form.UNKNOWN, "unknown")


def _is_disk(head: bytes) -> bool:
    """A table of partitions (each active or not, the first of some kind and size), or the super block of ext2 to 4."""
    table = head[446:512]
    if table[64:] == b"\x55\xaa" and table[4] and table[12:16] != bytes(4) and not set(table[0:64:16]) - {0, 0x80}:
        return True
    block = head[1024 : 1024 + 128]
    return block[56:58] == b"\x53\xef" and block[58] in range(1, 8) and block[60] in (1, 2, 3) and block[59] == 0


# Sizes of the second BMP header: OS/2 1, OS/2 2 (16 and 64), Windows 3, its masks (52, 56), 4 and 5.
_BMP_HEADERS = tuple(size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124))


def _is_targa(head: bytes) -> bool:
    """TGA has no signature: the fields of its header that can take few values, about one in a million by chance."""
    return (
        len(head) >= 18
        and head[1] in (0, 1)
        and head[2] in (1, 2, 3, 9, 10, 11)
        and head[16] in (8, 15, 16, 24, 32)
        and head[17] & 0xC0 == 0
        and (head[1] == 0 or head[7] in (8, 15, 16, 24, 32))
    )


def _may_be_targa(head: bytes) -> bool:
    """The little of that header that decoders insist on: theirs is the say whether there is a picture."""
    return (
        len(head) >= 18
        and head[1] in (0, 1)
        and head[2] in (1, 2, 3, 9, 10, 11)
        and head[16] in (8, 15, 16, 24, 32)
        and head[12:14] != b"\0\0" != head[14:16]
    )


def _is_transport_stream(head: bytes) -> bool:
    """Sync bytes 188 (or 192, with time stamps, or 204) apart."""
    for start, step in ((0, 188), (4, 192), (0, 204)):
        syncs = head[start::step][:4]
        if len(syncs) >= 2 and set(syncs) == {0x47}:
            return True
    return False


def _is_svg(head: bytes) -> bool:
    """Whether the first element of a text is <svg>, or may be because the head ends before it."""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = head.decode(encoding, "ignore")
    found = _SVG.match(text)
    if found is None:
        return False
    return found[1] is None or (len(head) >= HEAD_BYTES and text.lstrip("\ufeff \t\r\n").startswith("<"))


def _is_text(head: bytes) -> bool:
    """UTF-8 or UTF-16 without control characters."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return not _UNPRINTABLE.search(head[: len(head) // 2 * 2].decode("utf-16", "replace"))
    for cut in range(4):  # a character may be cut at the end of the head
        try:
            return not _UNPRINTABLE.search(head[: len(head) - cut].decode("utf-8"))
        except UnicodeDecodeError:
            continue
    return False

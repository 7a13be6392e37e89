"""Archives, compressed files, office documents, PDF: their members, one level down, as parts of the content.

Rules
- A content is a container by its own signature, or beside another one: a JPEG that is a ZIP too is looked at as both.
- What can be no more than recognised (RAR, 7z, OLE, disk images, ...) is `unopened`, never clear.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from scanner.decoding.budget import Budget
from scanner.decoding.containers.limits import DEFAULT, ContainerLimits
from scanner.decoding.containers.look import GRAVITY, ContainerLook, LookAt
from scanner.decoding.containers.members import Closed, Held
from scanner.decoding.containers.pdf import pdf_members
from scanner.decoding.containers.tars import compressed_members, tar_members
from scanner.decoding.containers.zip_directory import end_of_central_directory
from scanner.decoding.containers.zips import zip_members
from scanner.decoding.picture import ContentSink, Picture
from scanner.decoding.reading import MediaFile
from scanner.decoding.sniffing import Form, Sniffed, is_tar_header
from scanner.types import WHOLE, Looked, MediaKind, Reason, Resume

__all__ = ["ContainerLimits", "containers_in", "look_inside"]

_COMPRESSED = frozenset({"gzip", "bzip2", "xz", "zstd"})
_PDF_WITHIN = 1024  # readers take a document that begins so far into the file (ISO 32000-1, annex H.3)
_ISO_9660 = (32_769, b"CD001")  # ECMA-119, 8: behind the system area
_KINDS = {Form.STILL: MediaKind.IMAGE, Form.VIDEO: MediaKind.VIDEO}


def containers_in(file: MediaFile, head: bytes, sniffed: Sniffed) -> tuple[str, ...]:
    """The kinds of container that a content is, by its first bytes and its last; empty: none."""
    found = [sniffed.name] if sniffed.form is Form.CONTAINER else []
    if not found and is_tar_header(head[:512]):
        found.append("tar")
    if "pdf" not in found and b"%PDF-" in head[:_PDF_WITHIN]:
        found.append("pdf")
    if "zip" not in found:
        directory = end_of_central_directory(file)
        if directory is not None and directory.entries:
            found.append("zip")
    if not found and sniffed.form in (Form.UNKNOWN, Form.NOT_MEDIA):
        at, signature = _ISO_9660
        if file.at(at, len(signature)) == signature:
            found.append("iso")
        elif file.at(max(0, file.size_bytes - 512), 4) == b"koly":  # the trailer of an Apple disk image
            found.append("dmg")
    return tuple(found)


def look_inside(
    names: tuple[str, ...],
    file: MediaFile,
    sniffed: Sniffed,
    look_at: LookAt,
    budget: Budget,
    sink: ContentSink,
    start: Resume | None,
    limits: ContainerLimits = DEFAULT,
) -> Looked:
    """Look at a content that is these containers, and at what else it is. `look_at` looks at one that is none."""
    own, seen = WHOLE, _Seen(sink, _KINDS.get(sniffed.form, MediaKind.OTHER))
    if not (start is not None and start.members):
        own = look_at(file, sniffed, budget, seen, start)
        if own.reason is not None and own.reason.retryable:
            return own
        start = None
    look = ContainerLook(look_at, budget, sink, start, seen.kind, limits)
    look.shown += seen.pictures
    if own.reason in GRAVITY:
        look.note(own.reason)
    return look.run(file, _members(names, file, limits, budget))


def _members(names: tuple[str, ...], file: MediaFile, limits: ContainerLimits, budget: Budget) -> Iterator[Held]:
    return itertools.chain.from_iterable(_members_of(name, file, limits, budget) for name in names)


def _members_of(name: str, file: MediaFile, limits: ContainerLimits, budget: Budget) -> Iterator[Held]:
    tick = budget.check
    if name == "zip":
        return zip_members(file, limits, tick)
    if name == "tar":
        return tar_members(file, tick)
    if name == "pdf":
        return pdf_members(file, budget, limits)
    if name in _COMPRESSED:
        return compressed_members(file, name, limits, tick)
    return iter((Closed(Reason.UNOPENED),))


class _Seen:
    """Passes on what a content shows of itself, and remembers its kind."""

    def __init__(self, sink: ContentSink, kind: MediaKind) -> None:
        self._sink = sink
        self.kind = kind
        self.pictures = 0

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Pass the kind on."""
        self.kind = kind
        self._sink.media(kind, duration_ms)

    def picture(self, picture: Picture) -> None:
        """Pass a picture on."""
        self.pictures += 1
        self._sink.picture(picture)

    def mark(self, resume: Resume) -> None:
        """Pass a position on."""
        self._sink.mark(resume)

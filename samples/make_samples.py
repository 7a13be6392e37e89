"""Makes the demonstration's folder: storage to scan, an upload, hash sets, and what each file should turn out to be.

    python -m samples.make_samples TARGET

    TARGET/storage/      what a platform holds: copies, clips, clean files, damaged files
    TARGET/upload/       a clean picture somebody uploads before anybody lists it
    TARGET/lists/        alert-v1.csv, alert-v2.csv (the full list again: one more, one withdrawn), known-good.csv
    TARGET/manifest.json what every file is, by the word in `Expected`, under each version of the list

Rules
- Nothing is downloaded and nothing is copied from elsewhere: every byte is generated, the same on each run.
- Paths, owners and metadata carry canaries, so that a search of what left the machine can prove that none of them did.
- Hash values are made by the project's own `scanner.hashing`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from PIL import Image

from samples import clips, damage
from samples.scenes import brightened, resized, scene, watermarked
from scanner.hashing import PdqHash, pdq

# Words found in a path, an owner and in metadata, and nowhere else: a search for them tells whether anything leaked.
OWNER_CANARY = "owner-canary-7c1f"
NAME_CANARY = "name-canary-b50e"
EXIF_CANARY = "exif-canary-42d9"
CANARIES = (OWNER_CANARY, NAME_CANARY, EXIF_CANARY)

OWNER = f"storage/alice-{OWNER_CANARY}"
ARTIST_TAG, DESCRIPTION_TAG = 0x013B, 0x010E  # Exif 2.32, table 4
VIDEO_SIZE, VIDEO_COPY_SIZE = (320, 240), (240, 180)
LISTED_EVERY = 6  # half a second of a 12 frames a second clip


class Expected(StrEnum):
    """What a file turns out to be under one version of the list."""

    EXACT = "exact"
    NEAR = "near"
    FRAME = "frame"
    SUPPRESSED = "suppressed"
    CLEAR = "clear"
    COULD_NOT_LOOK = "could_not_look"


@dataclass(frozen=True, slots=True)
class Sample:
    """One generated file: where it lies below the target, its digest, and what it should turn out to be, and why."""

    path: str
    sha256: str
    v1: Expected
    v2: Expected
    why: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a demonstration needs to check itself: the files, the lists in order of import, and the canaries."""

    files: tuple[Sample, ...]
    alert_lists: tuple[str, str]
    known_good_list: str
    added_ref: str
    withdrawn_ref: str
    canaries: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """File names and folders that nothing leaving the machine may hold."""
        return tuple(sorted({part for sample in self.files for part in Path(sample.path).parts[1:]}))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list file."""

    hash_type: str
    value: str
    ref: str
    scheme: str = ""
    code: str = ""


def make(target: Path) -> Manifest:
    """Write everything below `target` (made where missing) and say what it is."""
    pictures = {name: scene(seed) for seed, name in enumerate(("holiday", "harbour", "market", "garden"), start=1)}
    video = clips.mp4(clips.panning((21, 22)), VIDEO_SIZE, crf=24)
    made = [*_listed(pictures, video), *_clean(pictures), *_damaged()]
    for sample, content in made:
        _write(target / sample.path, content)
    lists = _lists(pictures, video, {sample.path: content for sample, content in made})
    for name, rows in lists.items():
        _write(target / name, _csv(rows))
    names = tuple(lists)
    manifest = Manifest(
        files=tuple(sample for sample, _ in made),
        alert_lists=(names[0], names[1]),
        known_good_list=names[2],
        added_ref="demo-5",
        withdrawn_ref="demo-4",
        canaries=CANARIES,
    )
    _write(target / "manifest.json", json.dumps(asdict(manifest), indent=1).encode())
    return manifest


def add_odd_entries(storage: Path) -> tuple[str, ...]:
    """Put into `storage` what a walk must pass by: a FIFO, a link to a picture, a link to nowhere, a loop of folders.

    Separate from `make`, because not every file system can hold them. Gives the names made.
    """
    folder = storage / "odd"
    folder.mkdir(exist_ok=True)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "link.jpg").symlink_to(os.path.relpath(storage / "clean" / "meadow.jpg", folder))
    (folder / "nowhere.jpg").symlink_to("not-there")
    (folder / "loop").symlink_to("..")
    return ("pipe.jpg", "link.jpg", "nowhere.jpg", "loop")


Made = tuple[Sample, bytes]


def _sample(path: str, content: bytes, v1: Expected, v2: Expected | None, why: str) -> Made:
    return Sample(path, hashlib.sha256(content).hexdigest(), v1, v2 or v1, why), content


def _listed(pictures: Mapping[str, Image.Image], video: bytes) -> list[Made]:
    """Files that some version of the list knows, by bytes, by likeness or by one of their frames."""
    harbour = pictures["harbour"]
    holiday = jpeg(pictures["holiday"], exif=True)
    copy = clips.mp4(clips.panning((21, 22)), VIDEO_COPY_SIZE, crf=30)
    small = [resized(scene(31), 40), resized(harbour, 40), resized(scene(32), 40)]
    near, frame, exact, clear = Expected.NEAR, Expected.FRAME, Expected.EXACT, Expected.CLEAR
    return [
        _sample(f"{OWNER}/holiday.jpg", holiday, exact, None, "its sha256 is listed"),
        _sample(f"{OWNER}/{NAME_CANARY}.jpg", holiday, exact, None, "the same bytes at a second place"),
        _sample("storage/bob/harbour.jpg", jpeg(harbour), near, None, "its PDQ is listed"),
        _sample("storage/bob/re-encoded.jpg", jpeg(harbour, 60), near, None, "a copy saved at quality 60"),
        _sample("storage/bob/resized.jpg", jpeg(resized(harbour, 60)), near, None, "a copy at 60 % of the size"),
        _sample(
            "storage/bob/brighter.jpg", jpeg(brightened(harbour, 15), exif=True), near, None, "a copy 15 % brighter"
        ),
        _sample("storage/bob/watermark.png", _png(resized(watermarked(harbour), 50)), near, None, "a copy with a mark"),
        _sample(
            "storage/press/harbour.jpg",
            jpeg(watermarked(harbour), 70),
            Expected.SUPPRESSED,
            None,
            "near the listed PDQ, but its bytes are known good",
        ),
        _sample("storage/clips/tour.mp4", video, frame, None, "frames of it are listed"),
        _sample("storage/clips/tour-small.mp4", copy, frame, None, "a coarser, smaller copy of the clip"),
        _sample("storage/clips/slides.gif", clips.gif(small), frame, None, "one frame of it is the listed picture"),
        _sample("storage/carol/market.jpg", jpeg(pictures["market"]), exact, clear, "listed by v1, withdrawn by v2"),
        _sample("upload/garden.jpg", jpeg(pictures["garden"], exif=True), clear, exact, "uploaded first, listed by v2"),
    ]


def _clean(pictures: Mapping[str, Image.Image]) -> list[Made]:
    """Files that no list knows and that can be looked at whole."""
    clear = Expected.CLEAR
    return [
        _sample("storage/clean/meadow.jpg", jpeg(scene(11), exif=True), clear, None, "an ordinary picture"),
        _sample("storage/clean/lake.png", _png(resized(scene(12), 50)), clear, None, "an ordinary picture"),
        _sample("storage/clean/hill.webp", _webp(scene(13)), clear, None, "an ordinary picture"),
        _sample(
            "storage/clean/walk.mp4", clips.mp4(clips.panning((24,)), VIDEO_SIZE, 30), clear, None, "an ordinary clip"
        ),
        _sample("storage/notes.txt", f"Shopping: bread, milk. {NAME_CANARY}\n".encode(), clear, None, "not media"),
        _sample("storage/empty.jpg", b"", clear, None, "nothing in it, whatever its name says"),
    ]


def _damaged() -> list[Made]:
    """Files that look like media and cannot be looked at whole: never to be called clear."""
    never = Expected.COULD_NOT_LOOK
    cut = damage.cut(jpeg(scene(14)), 60)
    clip = clips.mp4(clips.panning((23,)), VIDEO_SIZE, 30)
    return [
        _sample("storage/damaged/half-a-picture.jpg", cut, never, None, "a JPEG that ends after 60 % of its bytes"),
        _sample(
            "storage/damaged/broken.png",
            damage.with_broken_pixels(_png(resized(scene(15), 50))),
            never,
            None,
            "a PNG whose first data chunk is noise",
        ),
        _sample(
            "storage/damaged/no-index.mp4", damage.without_box(clip, b"moov"), never, None, "an MP4 without its index"
        ),
    ]


def _lists(pictures: Mapping[str, Image.Image], video: bytes, files: Mapping[str, bytes]) -> dict[str, Sequence[Row]]:
    """The list files by path, in the order in which they are imported."""

    def digest(path: str) -> str:
        return hashlib.sha256(files[path]).hexdigest()

    frames = [pdq(pixels)[0] for pixels in clips.rgb_frames(video, LISTED_EVERY)]
    kept = [
        Row("sha256", digest(f"{OWNER}/holiday.jpg"), "demo-1", "demo", "A1"),
        Row("pdq", _pdq(pictures["harbour"]).value.hex(), "demo-2", "demo", "B2"),
        *(Row("pdq", frame.value.hex(), "demo-3", "demo", "B1") for frame in frames),
    ]
    market = Row("sha256", digest("storage/carol/market.jpg"), "demo-4", "demo", "A2")
    garden = Row("sha256", digest("upload/garden.jpg"), "demo-5", "demo", "A2")
    good = [Row("sha256", digest(path), "") for path in ("storage/press/harbour.jpg", "storage/clean/meadow.jpg")]
    return {
        "lists/alert-v1.csv": [*kept, market],
        "lists/alert-v2.csv": [*kept, garden],
        "lists/known-good.csv": good,
    }


def _pdq(picture: Image.Image) -> PdqHash:
    return pdq(np.asarray(picture))[0]


def _csv(rows: Sequence[Row]) -> bytes:
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(("type", "value", "ref", "scheme", "code"))
    writer.writerows((row.hash_type, row.value, row.ref, row.scheme, row.code) for row in rows)
    return target.getvalue().encode()


def jpeg(picture: Image.Image, quality: int = 85, *, exif: bool = False) -> bytes:
    """The picture as a JPEG, on request with the canaries in its EXIF."""
    tags = Image.Exif()
    if exif:
        tags[ARTIST_TAG] = OWNER_CANARY
        tags[DESCRIPTION_TAG] = EXIF_CANARY
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=quality, exif=tags.tobytes())
    return target.getvalue()


def _png(picture: Image.Image) -> bytes:
    target = io.BytesIO()
    picture.save(target, "PNG")
    return target.getvalue()


def _webp(picture: Image.Image) -> bytes:
    target = io.BytesIO()
    picture.save(target, "WEBP", quality=80)
    return target.getvalue()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def main(arguments: Sequence[str]) -> int:
    """Make the samples in the one folder named."""
    if len(arguments) != 1:
        print("usage: python -m samples.make_samples TARGET", file=sys.stderr)
        return 2
    manifest = make(Path(arguments[0]))
    print(f"{len(manifest.files)} files and 3 lists made")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

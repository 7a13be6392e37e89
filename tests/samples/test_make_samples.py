"""The demonstration's files are what their manifest says. Pins properties, never an encoder's bytes."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from samples import clips, damage, make_samples
from samples.make_samples import Expected, Manifest
from samples.scenes import brightened, resized, scene, watermarked
from scanner.hashing import PdqHash, pdq

RADIUS_BITS = 31  # the published PDQ radius, and hashward's default
MOST_BYTES = 3_000_000


def distance(one: PdqHash, other: PdqHash) -> int:
    """How many bits differ."""
    return (int.from_bytes(one.value, "big") ^ int.from_bytes(other.value, "big")).bit_count()


def pdq_of(picture: Image.Image) -> PdqHash:
    """The PDQ of a picture's pixels as stored."""
    return pdq(np.asarray(picture.convert("RGB")))[0]


def every_file(folder: Path) -> dict[str, bytes]:
    """Relative path to content, of every regular file below."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """The samples, made once."""
    target = tmp_path_factory.mktemp("samples")
    return target, make_samples.make(target)


def listed(target: Path, name: str) -> list[list[str]]:
    """The rows of a list file without its header."""
    header, *rows = [line.split(",") for line in (target / name).read_text().splitlines()]
    assert ["type", "value", "ref", "scheme", "code"] == header
    return rows


def test_two_runs_give_the_same_bytes(made: tuple[Path, Manifest], tmp_path: Path) -> None:
    """Nothing of the time, the machine or the memory is in a generated file."""
    make_samples.make(tmp_path)

    assert every_file(made[0]) == every_file(tmp_path)


def test_everything_is_small(made: tuple[Path, Manifest]) -> None:
    """The whole folder stays under three megabytes."""
    assert sum(len(content) for content in every_file(made[0]).values()) < MOST_BYTES


def test_the_manifest_names_every_file_and_says_each_outcome(made: tuple[Path, Manifest]) -> None:
    """No file is left without an expectation, and each kind of outcome occurs."""
    target, manifest = made

    assert {path for path in every_file(target) if path.startswith(("storage/", "upload/"))} == {
        sample.path for sample in manifest.files
    }
    assert set(Expected) == {sample.v1 for sample in manifest.files}
    assert [manifest.added_ref] == [row[2] for row in listed(target, manifest.alert_lists[1])[-1:]]
    assert json.loads((target / "manifest.json").read_bytes())["canaries"] == list(manifest.canaries)


@pytest.mark.parametrize("seed", range(1, 7))
@pytest.mark.parametrize(
    "edit",
    [
        lambda picture: Image.open(io.BytesIO(make_samples.jpeg(picture, 60))),
        lambda picture: resized(picture, 60),
        lambda picture: brightened(picture, 15),
        watermarked,
    ],
    ids=["re-encoded", "resized", "brighter", "watermark"],
)
def test_edits_stay_near_their_picture(seed: int, edit: Callable[[Image.Image], Image.Image]) -> None:
    """Each edit leaves a picture of full quality within the default radius."""
    picture = scene(seed)

    assert pdq_of(picture).quality == 100
    assert distance(pdq_of(picture), pdq_of(edit(picture))) <= RADIUS_BITS


def test_different_scenes_are_far_apart() -> None:
    """No two scenes of the samples could be taken for copies of each other."""
    hashes = [pdq_of(scene(seed)) for seed in (1, 2, 3, 4, 11, 12, 13, 14, 15, 21, 22, 23, 24, 31, 32)]

    assert min(distance(one, other) for one, other in combinations(hashes, 2)) > 80


def test_expected_pictures_agree_with_the_lists(made: tuple[Path, Manifest]) -> None:
    """What is said to be exact, near or clear is so by the values that the lists really hold."""
    target, manifest = made
    for name, version in zip(manifest.alert_lists, ("v1", "v2"), strict=True):
        rows = listed(target, name)
        digests = {row[1] for row in rows if row[0] == "sha256"}
        values = [PdqHash(bytes.fromhex(row[1]), 100) for row in rows if row[0] == "pdq"]
        for sample in manifest.files:
            expected = getattr(sample, version)
            assert (expected is Expected.EXACT) == (sample.sha256 in digests), sample
            if not sample.path.endswith((".jpg", ".png", ".webp")) or expected in (
                Expected.COULD_NOT_LOOK,
                Expected.EXACT,
            ):
                continue
            content = (target / sample.path).read_bytes()
            near = (
                bool(content)
                and min(distance(pdq_of(Image.open(io.BytesIO(content))), value) for value in values) <= RADIUS_BITS
            )
            assert near == (expected in (Expected.NEAR, Expected.SUPPRESSED)), sample


def test_known_good_lists_the_suppressed_file(made: tuple[Path, Manifest]) -> None:
    """What is to be suppressed is on the known-good list by its bytes."""
    target, manifest = made
    good = {row[1] for row in listed(target, manifest.known_good_list)}

    assert {sample.sha256 for sample in manifest.files if sample.v1 is Expected.SUPPRESSED} <= good
    assert not good & {row[1] for name in manifest.alert_lists for row in listed(target, name)}


def test_the_second_list_adds_one_and_withdraws_one(made: tuple[Path, Manifest]) -> None:
    """The update is one entry more and one less, and touches nothing else."""
    target, manifest = made
    before, after = ({tuple(row) for row in listed(target, name)} for name in manifest.alert_lists)

    assert {manifest.withdrawn_ref} == {row[2] for row in before - after}
    assert {manifest.added_ref} == {row[2] for row in after - before}


@pytest.mark.parametrize("name", ["storage/clips/tour.mp4", "storage/clips/tour-small.mp4"])
def test_every_keyframe_of_a_copied_clip_is_near_a_listed_frame(made: tuple[Path, Manifest], name: str) -> None:
    """A keyframe query finds both the clip and its coarser, smaller copy, which is another file."""
    target, manifest = made
    values = [bytes.fromhex(row[1]) for row in listed(target, manifest.alert_lists[0]) if row[2] == "demo-3"]
    frames = clips.rgb_frames((target / name).read_bytes(), clips.FRAMES_PER_SECOND)
    best = [min(distance(pdq(frame)[0], PdqHash(value, 100)) for value in values) for frame in frames]

    assert len(values) == 2 * clips.SHOT_FRAMES // make_samples.LISTED_EVERY
    assert max(best) <= RADIUS_BITS


def test_clips_are_short_h264(made: tuple[Path, Manifest]) -> None:
    """The clip is four seconds of H.264, and its copy is smaller in every way."""
    target, _ = made
    with av.open(str(target / "storage/clips/tour.mp4"), "r") as one:
        codec, size, frames = (
            one.streams.video[0].codec_context.name,
            one.streams.video[0].width,
            one.streams.video[0].frames,
        )
    with av.open(str(target / "storage/clips/tour-small.mp4"), "r") as other:
        copied_size, copied_frames = other.streams.video[0].width, other.streams.video[0].frames

    assert ("h264", 48, 48) == (codec, frames, copied_frames)
    assert copied_size < size


def test_one_frame_of_the_animation_is_the_listed_picture(made: tuple[Path, Manifest]) -> None:
    """The GIF holds several frames, and only one of them is near the listed picture: the first would not do."""
    target, manifest = made
    value = next(bytes.fromhex(row[1]) for row in listed(target, manifest.alert_lists[0]) if row[2] == "demo-2")
    near = []
    with Image.open(target / "storage/clips/slides.gif") as slides:
        for number in range(slides.n_frames):
            slides.seek(number)
            near.append(distance(pdq_of(slides), PdqHash(value, 100)) <= RADIUS_BITS)

    assert [False, True, False] == near


def test_damaged_files_cannot_be_read_whole(made: tuple[Path, Manifest]) -> None:
    """Pillow refuses the pictures and FFmpeg the clip."""
    target, _ = made
    for name in ("half-a-picture.jpg", "broken.png"):
        with (
            pytest.raises((OSError, SyntaxError, UnidentifiedImageError)),
            Image.open(target / "storage/damaged" / name) as picture,
        ):
            picture.load()
    with pytest.raises(av.FFmpegError):
        av.open(str(target / "storage/damaged/no-index.mp4"), "r").close()


def test_damaging_leaves_the_rest_alone(made: tuple[Path, Manifest]) -> None:
    """Damage is what was asked for, not a rewrite of the file."""
    good = (made[0] / "storage/clean/lake.png").read_bytes()
    broken = damage.with_broken_pixels(good)

    assert len(good) == len(broken)
    assert good[:33] == broken[:33]
    assert good != broken
    assert good[:10] == damage.cut(good, 10)[:10]
    with pytest.raises(ValueError, match="data chunk"):
        damage.with_broken_pixels(good[:33])


def test_canaries_are_where_a_leak_would_pick_them_up(made: tuple[Path, Manifest]) -> None:
    """The owner is in a path, the EXIF canary in metadata, and no list holds any."""
    target, manifest = made
    content = every_file(target)

    assert any(make_samples.OWNER_CANARY in path for path in content)
    assert any(make_samples.NAME_CANARY in path for path in content)
    assert any(
        make_samples.EXIF_CANARY.encode() in body for path, body in content.items() if path.startswith("storage/")
    )
    for name in (*manifest.alert_lists, manifest.known_good_list):
        assert not [canary for canary in manifest.canaries if canary.encode() in content[name]]
        assert not [word for word in manifest.names if word.encode() in content[name]]


def test_odd_entries_are_none_that_a_walk_may_open(tmp_path: Path) -> None:
    """A FIFO, two links and a loop stand beside the files, and none of them is a file or folder of its own."""
    make_samples.make(tmp_path)

    names = make_samples.add_odd_entries(tmp_path / "storage")

    kinds = {name: stat.S_IFMT(os.lstat(tmp_path / "storage/odd" / name).st_mode) for name in names}
    assert {
        "pipe.jpg": stat.S_IFIFO,
        "link.jpg": stat.S_IFLNK,
        "nowhere.jpg": stat.S_IFLNK,
        "loop": stat.S_IFLNK,
    } == kinds
    assert (tmp_path / "storage/odd/link.jpg").resolve() == (tmp_path / "storage/clean/meadow.jpg").resolve()


def test_the_command_says_how_it_is_called(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a folder it explains itself and makes nothing; with one it says what it made."""
    assert make_samples.main([]) == 2
    assert "usage" in capsys.readouterr().err
    assert make_samples.main([str(tmp_path / "target")]) == 0
    assert (tmp_path / "target/manifest.json").exists()

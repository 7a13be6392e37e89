"""`hash --format`: lists that operators make, and import again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import Hashward
from tests.scanner.decoding.test_video import clip, frames_of
from tests.shared_material import media, vectors


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A film of two seconds; no two frames alike."""
    made = tmp_path / "film.mp4"
    made.write_bytes(clip(50))
    return made


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The film encoded again, its second half only, in another container."""
    made = tmp_path / "storage" / "copy.mkv"
    made.parent.mkdir()
    made.write_bytes(clip(50, form="matroska", gop=25, crf="30"))
    return made


@pytest.mark.parametrize("form", ["csv", "json", "vpdq"])
@pytest.mark.parametrize("shape", ["item", "frames"])
def test_a_list_made_is_a_list_imported(hashward: Hashward, film: Path, copy: Path, form: str, shape: str) -> None:
    """What `hash --dense --format` prints, `hashset import` reads, and a copy of the film is found by it."""
    made = film.with_suffix(f".{form}")
    made.write_text(hashward("hash", "--dense", "--format", form, "--shape", shape, film).out)
    imported = hashward("hashset", "import", "mine", made)
    shown = hashward.json("hashset", "show", "mine")
    found = hashward("scan", copy.parent)

    assert 0 == imported.code, imported.err
    assert 1 == shown["entries"]
    assert 1 == found.code


def test_a_clip_inside_a_film_is_found(hashward: Hashward, film: Path, tmp_path: Path) -> None:
    """Listed as one item, the clip is met by any of its frames, however long the film around it."""
    made = tmp_path / "list.csv"
    made.write_text(hashward("hash", "--format", "csv", film).out)
    hashward("hashset", "import", "mine", made)
    around = tmp_path / "around"
    around.mkdir()
    other = list(frames_of(300))
    (around / "long.mp4").write_bytes(clip(frames=[*other, *frames_of(50), *other[::-1]], gop=40))
    (around / "other.mp4").write_bytes(clip(frames=other))
    found = hashward.json("scan", around)

    assert (2, 1) == (found["assets"], found["matched"])


def test_a_list_holds_no_path(hashward: Hashward, film: Path) -> None:
    """An entry has a random ref, and nothing that tells where the file lies."""
    for form in ("csv", "json"):
        out = [hashward("hash", "--format", form, film).out for _ in range(2)]

        assert "film" not in out[0]
        assert str(film.parent) not in out[0]
        assert out[0] != out[1]


def test_frames_close_to_the_one_before_are_left_out(hashward: Hashward, film: Path) -> None:
    """The further apart frames are to be, the fewer; without a distance a vPDQ list has every one."""

    film.write_bytes(clip(frames=[pixels for pixels in frames_of(10) for _ in range(5)]))

    def frames(*words: object) -> int:
        entry = json.loads(hashward("hash", "--format", "json", *words, film).out)
        return sum(signal["type"] == "pdq" for signal in entry["signals"])

    assert 50 == len(hashward("hash", "--format", "vpdq", film).out.splitlines())
    assert 50 >= frames("--apart", 0) >= frames() >= frames("--apart", 30) >= 5
    assert frames() < 30


def test_the_published_list_comes_out(hashward: Hashward) -> None:
    """Frame numbers, qualities and times of the vPDQ text are the published ones, and good values are near them."""
    name = "pattern-sd-grey-bar"
    published = [line.split(",") for line in vectors("vpdq", f"{name}.txt").read_text().split()]
    made = [line.split(",") for line in hashward("hash", "--dense", "--format", "vpdq",
                                                 media("videos", f"{name}.mp4")).out.split()]  # fmt: skip
    far = [
        (one, other) for one, other in zip(published, made, strict=True)
        if int(one[1]) >= 50 and (int(one[2], 16) ^ int(other[2], 16)).bit_count() > 12
    ]  # fmt: skip

    assert [row[0] for row in published] == [row[0] for row in made]
    assert all(abs(float(one[3]) - float(other[3])) <= 0.0015 for one, other in zip(published, made, strict=True))
    assert all(abs(int(one[1]) - int(other[1])) <= 1 for one, other in zip(published, made, strict=True))
    assert [] == far


def test_pictures_are_listed_too(hashward: Hashward, folder: Path) -> None:
    """One entry a picture, of its digest and its PDQ; what is no media is not listed."""
    rows = [line.split(",") for line in hashward("hash", "--format", "csv", folder).out.splitlines()]

    assert ["type", "value", "ref", "shape"] == rows[0]
    assert ["pdq", "pdq", "sha256", "sha256"] == sorted(row[0] for row in rows[1:])
    assert 2 == len({row[2] for row in rows[1:]})


def test_what_cannot_be_listed_is_said(hashward: Hashward, film: Path, tmp_path: Path) -> None:
    """Two videos are no vPDQ list, a torn file is counted, and a list is not what programs read."""
    other = tmp_path / "other.mp4"
    other.write_bytes(clip(20))
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(40))

    assert 2 == hashward("hash", "--format", "vpdq", film, other).code
    assert 2 == hashward("hash", "--format", "json", "--json", film).code
    assert "undecodable 1" in hashward("hash", "--format", "csv", film, tmp_path / "torn.jpg").err

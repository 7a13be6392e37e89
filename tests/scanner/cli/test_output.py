"""Numbers, names and bars as a person sees them."""

from __future__ import annotations

import io
import subprocess
import sys
import time

import pytest

from scanner.cli.output import counts, number_of, printable
from scanner.cli.progress import bars, clock


def test_a_number_has_its_noun() -> None:
    """One file, two files, a thousand matches."""
    said = [number_of(1, "file"), number_of(2, "file"), number_of(0, "file"), number_of(1000, "match", "matches")]

    assert ["1 file", "2 files", "0 files", "1,000 matches"] == said


def test_reasons_come_most_frequent_first() -> None:
    """Ties by name."""
    assert "b 2, a 1, c 1" == counts({"c": 1, "a": 1, "b": 2})


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"plain", "plain"),
        ("grün".encode(), "grün"),
        (b"a\x1b\n\xff", "a\\x1b\\x0a\\xff"),
        ("\u202e".encode(), "\\xe2\\x80\\xae"),
    ],
)
def test_a_path_is_shown_without_what_drives_a_terminal(path: bytes, shown: str) -> None:
    """Control characters, direction marks and bytes that are no text are spelt out."""
    assert shown == printable(path)


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, "0:01"), (61, "1:01"), (3600, "1:00:00")])
def test_a_duration_reads_as_on_a_clock(seconds: float, shown: str) -> None:
    """Rounded up: nothing is done before it is done."""
    assert shown == clock(seconds)


def wait_for_frames(shown: io.StringIO, frames: int) -> None:
    """Until the display was drawn so often again, by its own clock."""
    deadline = time.monotonic() + 60
    for _ in range(frames):
        before = shown.tell()
        while shown.tell() == before and time.monotonic() < deadline:
            time.sleep(0.02)


def test_a_bar_tells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what is left is known; a total that grows meanwhile is followed."""
    shown = io.StringIO()
    shown.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    left = iter([1_000, 1_000, 900, 800, 700])
    with bars() as display:
        advance = display.add("re-scan", left=lambda: next(left))
        for _ in range(4):
            wait_for_frames(shown, 2)
            advance(100)
        wait_for_frames(shown, 2)
    text = shown.getvalue()

    assert "of 1,000" in text
    assert "of 1,100" in text
    assert "/s" in text
    assert "left" in text


def test_bars_are_silent_where_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    """A pipe or a log gets nothing, and what is left is not even asked for."""

    def never() -> int:
        raise AssertionError

    with bars() as display:
        display.add("files", left=never)(1)

    assert ("", "") == capfd.readouterr()


def test_most_commands_load_no_decoder_and_no_solver() -> None:
    """What parses strangers' files, or solves, is loaded when there is work for it: sooner it costs every command."""
    loaded = "import sys, scanner.cli; print([m for m in ('av', 'cv2', 'pillow_heif', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()

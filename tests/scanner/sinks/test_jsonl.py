"""The JSON Lines sink, with crashes in the middle."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from scanner.errors import DeliveryError
from scanner.reports import encode_event, parse_event
from scanner.sinks import JsonLinesSink

SETS = frozenset({"set-a"})


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_writes_one_private_file_of_events_per_batch(tmp_path: Path, make_batch: Any) -> None:
    """Each line is an event of the batch in its order; folder 0700, file 0600."""
    batch = make_batch()
    folder = tmp_path / "deep" / "reports"

    JsonLinesSink("local", SETS, folder).deliver(batch)

    path = folder / f"{batch.batch_id}.jsonl"
    assert [encode_event(report) for report in batch.reports] == path.read_bytes().splitlines()
    assert list(batch.reports) == [parse_event(line) for line in path.read_bytes().splitlines()]
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode)
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_a_batch_delivered_twice_is_there_once_and_untouched(tmp_path: Path, make_batch: Any) -> None:
    """The second delivery changes nothing."""
    batch = make_batch()
    sink = JsonLinesSink("local", SETS, tmp_path)
    sink.deliver(batch)
    before = (tmp_path / f"{batch.batch_id}.jsonl").stat()

    sink.deliver(batch)

    assert [f"{batch.batch_id}.jsonl"] == files(tmp_path)
    after = (tmp_path / f"{batch.batch_id}.jsonl").stat()
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)


def test_the_file_tells_no_time_finer_than_the_day(tmp_path: Path, make_batch: Any) -> None:
    """Access and modification times stand at midnight UTC."""
    batch = make_batch()

    JsonLinesSink("local", SETS, tmp_path).deliver(batch)

    found = (tmp_path / f"{batch.batch_id}.jsonl").stat()
    assert 0 == found.st_mtime_ns % (86_400 * 10**9)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # the child makes system calls only
@pytest.mark.parametrize("call", ["write", "utime", "fsync", "rename"])
def test_killed_at_any_step_the_file_is_whole_or_absent_and_comes_whole_next_time(
    tmp_path: Path, make_batch: Any, call: str
) -> None:
    """A kill before each system call of a delivery leaves no torn file, and the next delivery leaves one whole file."""
    batch = make_batch(count=500)
    sink = JsonLinesSink("local", SETS, tmp_path)
    child = os.fork()
    if child == 0:
        if call == "write":
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel kills at the limit, with half a file written
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        else:
            setattr(os, call, lambda *_args, **_kwargs: os.kill(os.getpid(), signal.SIGKILL))
        sink.deliver(batch)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    final = f"{batch.batch_id}.jsonl"
    assert final not in files(tmp_path)
    assert 1 == len(files(tmp_path))

    sink.deliver(batch)

    assert [final] == files(tmp_path)
    assert 500 == len((tmp_path / final).read_bytes().splitlines())


def test_a_full_disk_is_a_failure_to_try_again_and_leaves_nothing(
    tmp_path: Path, make_batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in the middle of writing removes the partial file and names no path."""
    sink = JsonLinesSink("local", SETS, tmp_path / "canary")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        (tmp_path / "canary").mkdir()
        with pytest.raises(DeliveryError) as caught:
            sink.deliver(make_batch())

    assert caught.value.retryable
    assert "canary" not in str(caught.value)
    assert [] == files(tmp_path / "canary")


def test_a_folder_that_is_a_file_is_a_failure(tmp_path: Path, make_batch: Any) -> None:
    """A path that cannot be a folder is reported, not raised as the system's own error."""
    (tmp_path / "taken").write_text("")

    with pytest.raises(DeliveryError):
        JsonLinesSink("local", SETS, tmp_path / "taken").deliver(make_batch())


def test_a_batch_about_another_set_is_refused(tmp_path: Path, make_batch: Any) -> None:
    """A sink hears only of the sets it names; one that names none hears nothing."""
    batch = make_batch(hash_sets=("set-a", "set-b"))

    for hash_sets in (SETS, frozenset[str]()):
        with pytest.raises(DeliveryError) as caught:
            JsonLinesSink("local", hash_sets, tmp_path / "out").deliver(batch)
        assert not caught.value.retryable
    assert [] == files(tmp_path / "out")

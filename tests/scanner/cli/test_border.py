"""Whatever is typed, a command ends in one sentence that repeats none of it, and in the exit code it documents."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import click
import pytest

from scanner.cli.border import EXIT_FAULT, EXIT_SYSTEM, error_border, sentence
from scanner.errors import DeliveryError, LedgerError
from tests.command import Hashward

CANARY = "canary-4d1c"
SHA256 = "5" * 63 + "0"


@pytest.fixture
def misuse(tmp_path: Path) -> Path:
    """A folder of things that are no list, no media and no folder, each named by the canary."""
    (tmp_path / f"{CANARY}.bin").write_bytes(bytes(range(256)) * 40)
    (tmp_path / f"{CANARY}.empty").write_bytes(b"")
    (tmp_path / f"{CANARY}.list").write_text(f"md5 {CANARY}\n{CANARY} {SHA256}\n")
    (tmp_path / f"{CANARY}.toml").write_text(f"[scan]\nworkers = '{CANARY}'\n")
    os.mkfifo(tmp_path / f"{CANARY}.fifo")
    return tmp_path


MISUSES = [
    (2, f"{CANARY}"),
    (2, f"scan --{CANARY}"),
    (2, f"scan /nonexistent/{CANARY}"),
    (2, f"scan {{}}/{CANARY}.fifo"),
    (2, f"scan {CANARY * 500}"),
    (2, f"hash /nonexistent/{CANARY}"),
    (2, f"hash {{}}/{CANARY}.fifo"),
    (2, f"lookup {CANARY} {SHA256}"),
    (4, f"lookup sha256 {CANARY}"),
    (2, f"lookup sha256 {SHA256} --radius {CANARY}"),
    (2, f"lookup sha256 {SHA256} --radius 1"),
    (2, f"lookup pdq {SHA256} --radius -1"),
    (2, f"lookup pdq {SHA256} --radius 256"),
    (2, f"lookup sha512 {CANARY}"),
    (2, f"hashset {CANARY}"),
    (2, f"hashset list {CANARY}"),
    (2, f"hashset show {CANARY}"),
    (2, f"hashset set {CANARY} --radius pdq=1"),
    (2, f"hashset enable {CANARY}\udcff"),
    (2, f"hashset import {CANARY}\udcff list"),
    (2, f"hashset import a list --role {CANARY}"),
    (2, f"hashset import a {{}}/{CANARY}.list --type {CANARY}"),
    (2, f"hashset import a {{}}/{CANARY}.list --add --complete"),
    (5, f"hashset import a /nonexistent/{CANARY}"),
    (5, f"hashset import a {{}}/{CANARY}.fifo"),
    (4, f"hashset import a {{}}/{CANARY}.list"),
    (4, f"hashset import a {{}}/{CANARY}.bin"),
    (4, f"hashset import a {{}}/{CANARY}.empty"),
    (2, f"root add {CANARY}/ /"),
    (2, f"root add {CANARY} /nonexistent/{CANARY}"),
    (2, f"root accept {CANARY}"),
    (2, f"root accept {CANARY}\udcff"),
    (2, f"root move {CANARY} /"),
    (2, f"root remove {CANARY}"),
    (2, f"reports {CANARY}"),
    (2, f"case open {CANARY}"),
    (2, f"case outcome {CANARY}"),
    (2, f"--config /nonexistent/{CANARY} status"),
    (2, f"--config {{}}/{CANARY}.toml status"),
    (2, f"--config {{}}/{CANARY}.fifo status"),
    (2, f"--home {{}}/{CANARY}.bin status"),
    (2, f"--home {{}}/{CANARY}.bin/below status"),
    (2, f"--home /proc/{CANARY} status"),
]


@pytest.mark.parametrize(("code", "typed"), MISUSES)
def test_a_misuse_ends_in_one_sentence_that_repeats_nothing(
    code: int, typed: str, misuse: Path, hashward: Hashward
) -> None:
    """A wrong call is told what to do, and neither a path nor a value reaches a log."""
    done = hashward(*typed.format(misuse).split(" "))

    assert (code, "") == (done.code, done.out)
    assert done.err.startswith("hashward: ")
    assert done.err.count("\n") == 1
    assert CANARY not in done.err
    assert str(misuse) not in done.err
    assert SHA256 not in done.err


def test_a_misuse_names_the_help_that_shows_how(hashward: Hashward) -> None:
    """Who mistypes an option hears of the near one, and where the command explains itself."""
    done = hashward("hashset", "import", "a", "list", "--completed")

    assert "--complete" in done.err
    assert "`hashward hashset import --help`" in done.err


def test_a_command_alone_shows_its_help(hashward: Hashward) -> None:
    """A group called without a command lists its commands, whole sentences and all."""
    done = hashward("hashset")

    assert 2 == done.code
    assert "Change a set's role, mode, rule or bounds. The next re-scan compares" in " ".join(done.err.split())


@pytest.mark.parametrize("name", ["hashsets.db", "ledger.db"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "folder", "gone to nowhere"])
def test_a_damaged_database_is_named(name: str, damage: str, hashward: Hashward) -> None:
    """A database that cannot be used ends in 6 with which of the two it is, since the remedies differ."""
    hashward("status")
    path = hashward.home / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "garbage":
        path.write_bytes(b"\x13" * len(content))
    elif damage == "folder":
        path.mkdir()
    else:
        path.symlink_to("/nonexistent/elsewhere")
    done = hashward("status")

    assert 6 == done.code
    assert done.out == ""
    if damage in ("cut", "garbage"):
        assert done.err.startswith(f"hashward: {name}: ")


def test_an_unforeseen_fault_is_named_by_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    """What we did not foresee shows no traceback and no text of its own, only where it happened."""
    with pytest.raises(SystemExit) as ended, error_border():
        raise LookupError(CANARY)

    assert EXIT_FAULT == ended.value.code
    shown = capsys.readouterr().err
    assert "LookupError in test_border.py:" in shown
    assert CANARY not in shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LedgerError("x"), 6),
        (DeliveryError("x"), 9),
        (OSError(28, CANARY), EXIT_SYSTEM),
        (MemoryError(), EXIT_SYSTEM),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
    ],
)
def test_errors_end_in_their_code_and_never_in_1(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1 says "match", so a full disk or an interruption must not end in it."""
    with pytest.raises(SystemExit) as ended, error_border():
        raise error

    assert code == ended.value.code
    assert CANARY not in capsys.readouterr().err


def test_a_message_becomes_a_sentence_unless_it_begins_with_a_name() -> None:
    """Settings and options keep their own spelling."""
    assert sentence("no such thing") == "No such thing."
    assert sentence("scan.workers must be small") == "scan.workers must be small."
    assert sentence("--add and --complete differ.") == "--add and --complete differ."


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_scan_says_so_and_goes_on_later(how: signal.Signals, hashward: Hashward, tmp_path: Path) -> None:
    """Ctrl-C or a service manager's stop ends a scan within seconds, with its own code and no traceback."""
    many = tmp_path / "many"
    many.mkdir()
    for number in range(300):
        (many / str(number)).write_bytes(b"%d" % number)
    (many / "huge").touch()
    os.truncate(many / "huge", 400 << 30)  # so that it does not come to its end, however late it is told to stop
    hashward.home.mkdir(mode=0o700)
    (hashward.home / "config.toml").write_text("[scan]\nworkers = 2\n")
    with hashward.process("scan", many) as process:
        while process.poll() is None and not hashward.json("status")["assets"]:
            time.sleep(0.1)
        process.send_signal(how)
        out, err = process.communicate(timeout=100)

    assert (130, "") == (process.returncode, out)
    assert err.strip() == "hashward: Stopped. What was finished is recorded; the same command goes on from there."
    assert 0 < hashward.json("status")["assets"] < 301


@pytest.mark.parametrize(
    ("how", "command"), [(signal.SIGTERM, "scan"), (signal.SIGINT, "scan"), (signal.SIGINT, "hash")]
)
def test_a_huge_file_holds_no_stop_up(how: signal.Signals, command: str, hashward: Hashward, tmp_path: Path) -> None:
    """What is in hand is left between two blocks: a file that takes many minutes to read ends nothing later."""
    huge = tmp_path / "huge"
    huge.touch()
    os.truncate(huge, 400 << 30)
    with hashward.process(command, huge) as process:
        while process.poll() is None and not _has_open(process.pid, huge):
            time.sleep(0.02)
        process.send_signal(how)
        out, err = process.communicate(timeout=100)

    assert (130, "") == (process.returncode, out)
    assert err.strip() == "hashward: Stopped. What was finished is recorded; the same command goes on from there."


def _has_open(pid: int, path: Path) -> bool:
    for fd in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            if fd.readlink() == path:
                return True
    return False


def test_a_reader_that_goes_is_no_match(hashward: Hashward, folder: Path) -> None:
    """`| head` ends a command as SIGPIPE would: quietly, and not in 1."""
    words = hashward.line("hash", *[folder] * 60)
    with subprocess.Popen(words, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pipesize=4096) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)  # and more is to come than fits
        process.stdout.close()
        err = process.stderr.read()

    assert (141, b"") == (process.wait(), err)


def test_output_that_cannot_be_written_is_an_error(hashward: Hashward) -> None:
    """A full disk below standard output does not pass for success."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(hashward.line("status"), stdout=full, stderr=subprocess.PIPE, check=False)

    assert EXIT_SYSTEM == done.returncode
    assert b"No space left on device" in done.stderr

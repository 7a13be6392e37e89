"""What the running command gives away: nothing readable to others, no memory image, no environment, no media left."""

from __future__ import annotations

import ctypes
import os
import platform
import secrets
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner

from scanner.cli import main
from scanner.isolation.confinement import available
from tests.scanner.isolation.test_pool import children, family

PROJECT = Path(__file__).parents[2]
UNITS = sorted(
    (unit for unit in (resources.files("scanner") / "systemd").iterdir() if not unit.name.startswith("_")),
    key=lambda unit: unit.name,
)


def start(home: Path, *words: str | Path, **how: object) -> subprocess.Popen[str]:
    """The real command, in an environment with a secret and a umask that hides nothing."""
    return subprocess.Popen(
        [sys.executable, "-m", "scanner", "--home", str(home), *map(str, words)],
        cwd=PROJECT,
        env={**os.environ, "A_SECRET": "for-nobody", "TMPDIR": str(home.parent / "tmp")},
        umask=0,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,  # type: ignore[call-overload]
    )


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Pictures that hold a canary in every row, drawn anew for each test."""
    folder = tmp_path / "media"
    folder.mkdir()
    (tmp_path / "tmp").mkdir()
    for number in range(60):
        (folder / f"{number}.pgm").write_bytes(
            b"P5 256 256 255\n" + (canary(tmp_path) * 8192)[: 256 * 256 - 4] + struct.pack("I", number)
        )
    return folder


def canary(tmp_path: Path) -> bytes:
    """32 random bytes, the same throughout one test."""
    held = tmp_path.parent / f"{tmp_path.name}.canary"
    if not held.exists():
        held.write_bytes(secrets.token_bytes(32))
    return held.read_bytes()


def stopped_at_work(home: Path, media: Path, after_s: float = 0.0) -> tuple[subprocess.Popen[str], list[int]]:
    """A scan that stands still with workers below it, and what is below it; begun anew where it ended unseen."""
    for _ in range(20):
        shutil.rmtree(home, ignore_errors=True)
        process = start(home, "scan", media)
        while process.poll() is None:
            if len(family(process.pid)) > 1:
                time.sleep(after_s)
                process.send_signal(signal.SIGSTOP)
                below = family(process.pid)
                if len(below) > 1:
                    return process, below
                process.send_signal(signal.SIGCONT)
            time.sleep(0.01)
        after_s /= 2  # its workers had ended by then
        said = process.communicate()
    raise AssertionError(f"no worker was seen: {said}")


def test_a_running_scan_and_its_workers_give_nothing_away(tmp_path: Path, media: Path) -> None:
    """Umask 077, no core dump, and children that know nothing of the environment; files for the owner only."""
    process, below = stopped_at_work(tmp_path / "home", media)
    with process:
        status = Path(f"/proc/{process.pid}/status").read_text()
        limits = [Path(f"/proc/{pid}/limits").read_text() for pid in (process.pid, *below)]
        environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in children(process.pid)]
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=100)
    made = [tmp_path / "home", *(tmp_path / "home").rglob("*")]

    assert "Umask:\t0077" in status
    assert [
        one
        for one in limits
        if not any(line.split()[:6] == ["Max", "core", "file", "size", "0", "0"] for line in one.splitlines())
    ] == []
    assert [one for one in environments if b"SECRET" in one or b"HOME=" in one] == []
    assert [path for path in made if stat.S_IMODE(path.stat().st_mode) not in (0o600, 0o700)] == []


def left_anywhere(tmp_path: Path, since: float, token: bytes) -> list[Path]:
    """Files changed since then, wherever temporary ones may lie, that hold the token."""
    found = []
    for folder in (tmp_path / "home", tmp_path / "tmp", Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")):
        for parent, below, names in os.walk(folder):
            deep = len(Path(parent).parts) - len(folder.parts)
            below[:] = [name for name in below if not name.startswith("pytest-of-") and deep < 3]
            found += [path for path in (Path(parent, name) for name in names) if _holds(path, since, token)]
    return found


def _holds(path: Path, since: float, token: bytes) -> bool:
    try:
        about = path.lstat()
        recent = stat.S_ISREG(about.st_mode) and about.st_mtime >= since and about.st_size < 2**26
        return recent and token in path.read_bytes()
    except OSError:  # somebody else's, and gone
        return False


def kill(tmp_path: Path, media: Path, number: int) -> None:
    """Kill so many scans, at different moments of their work, and look for what they leave."""
    since = time.time() - 1
    for attempt in range(number):
        process, below = stopped_at_work(tmp_path / "home", media, after_s=0.02 * (attempt % 8))
        with process:
            process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{pid}").exists() for pid in below) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [pid for pid in below if Path(f"/proc/{pid}").exists()] == []
        assert left_anywhere(tmp_path, since, canary(tmp_path)[:16]) == []
        assert list(tmp_path.rglob("core*")) == []


def test_a_killed_scan_leaves_no_media_and_no_process(tmp_path: Path, media: Path) -> None:
    """The bytes of what was being read are in no file afterwards, and every worker is gone."""
    kill(tmp_path, media, 2)


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_fifty_killed_scans_leave_no_media(tmp_path: Path, media: Path, proof: Callable[..., None]) -> None:
    """The same fifty times."""
    kill(tmp_path, media, 50)
    proof("durability", "scans killed with workers at work", kills=50, media_left=0, orphans=0)


def test_the_search_finds_what_is_left(tmp_path: Path, media: Path) -> None:
    """Else the tests above would show nothing."""
    left = tmp_path / "tmp" / "left"
    left.write_bytes(b"x" * 5000 + canary(tmp_path))

    assert [left] == left_anywhere(tmp_path, 0.0, canary(tmp_path)[:16])


# -- without a sandbox ------------------------------------------------------------------------------------------------


def without_landlock() -> None:
    """In a child: make this kernel one that has no Landlock."""
    number = 444  # landlock_create_ruleset, the same on every architecture
    program = b"".join(
        struct.pack("=HBBI", *each)
        for each in ((0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x50000 | 38), (6, 0, 0, 0x7FFF0000))
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)
    assert libc.prctl(22, 2, ctypes.c_char_p(header), 0, 0) == 0


@pytest.mark.skipif(not available().complete, reason="this kernel has no complete sandbox to take away")
def test_without_a_sandbox_it_refuses_unless_told_otherwise(tmp_path: Path, media: Path) -> None:
    """Scanning, hashing and the self-test stop with a sentence; --allow-unsandboxed goes on; `status` says so."""
    for words in (("scan", media), ("hash", media / "1.pgm")):
        with start(tmp_path / "home", *words, preexec_fn=without_landlock) as refused:
            _, said = refused.communicate(timeout=100)
        with start(tmp_path / "home", *words, "--allow-unsandboxed", preexec_fn=without_landlock) as allowed:
            allowed.communicate(timeout=100)

        assert refused.returncode not in (0, 1, 3)
        assert "--allow-unsandboxed" in said
        assert allowed.returncode == 0
    with start(tmp_path / "home", "status", preexec_fn=without_landlock) as standing:
        assert "incomplete sandbox" in standing.communicate(timeout=100)[0]


# -- systemd -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The shipped units, with a command that is there on every machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in UNITS:
        text = unit.read_text()
        (tmp_path / unit.name).write_text(text.replace("/usr/local/bin/hashward", sys.executable))
    return tmp_path


def test_systemd_accepts_the_units(units: Path) -> None:
    """systemd knows every setting of the units."""
    command = ["systemd-analyze", "verify", *(str(units / unit.name) for unit in UNITS)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=100)

    assert len(UNITS) == 9
    assert (0, "") == (checked.returncode, checked.stderr)


@pytest.mark.parametrize("name", [unit.name for unit in UNITS if unit.name.endswith(".service")])
def test_the_units_expose_little(units: Path, name: str) -> None:
    """By systemd's own measure, 0 to 10, each service is at most 2."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(units / name)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=100)
    if "unrecognized option" in checked.stderr:
        pytest.skip("this systemd is older than 250")

    assert checked.returncode == 0, checked.stdout


def test_the_units_call_commands_that_exist() -> None:
    """Every ExecStart is a command with its options."""
    for unit in UNITS:
        for line in unit.read_text().splitlines():
            if line.startswith("ExecStart="):
                asked = CliRunner().invoke(main, [*line.split()[1:], "--help"])
                assert asked.exit_code == 0


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the constant is x86's and Arm's alike, tried on x86 only")
def test_a_scan_works_where_no_memory_may_be_written_and_executed(tmp_path: Path, media: Path) -> None:
    """As MemoryDenyWriteExecute= of the units has it (PR_SET_MDWE, Linux 6.3)."""

    def deny() -> None:
        if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:
            os._exit(77)

    with start(tmp_path / "home", "scan", media, preexec_fn=deny) as scan:
        scan.communicate(timeout=100)
    if scan.returncode == 77:
        pytest.skip("this kernel cannot deny it")

    assert scan.returncode == 0

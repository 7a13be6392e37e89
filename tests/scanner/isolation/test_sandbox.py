"""A decoder taken over by its file can do nothing but answer: every probe is refused or ends the worker."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.fingerprint import Limits, Options
from scanner.isolation import seccomp
from scanner.isolation.confinement import Sandbox, available
from scanner.isolation.pool import WorkerPool
from scanner.types import WHOLE, Reason
from tests.scanner.isolation.probes import PROBES, REFUSED

pytestmark = [
    pytest.mark.skipif(not available().complete, reason="needs a kernel with Landlock and seccomp"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the probes are x86-64 system calls"),
]
PROBE = "tests.scanner.isolation.probes:answer"
# Refused to this user also without a sandbox, or with nothing at hand to show it on: no control possible.
NO_CONTROL = {"keyctl", "io_uring", "ptrace_parent", "vm_readv_parent", "unshare", "seek_shared_offset", "exec",
              "ftruncate", "own_signals_to_parent", "unlink", "bpf"}  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1, answer=PROBE) as running:
        yield running


def outcome(pool: WorkerPool, name: str) -> str:
    """How the probe ended: refused, killed or worked."""
    fd = os.memfd_create("probe")
    try:
        os.write(fd, name.encode())
        found = pool.fingerprint(fd)
    finally:
        os.close(fd)
    if found.looked.reason is Reason.CRASH and not found.signals:
        return "killed"
    assert WHOLE == found.looked
    return "refused" if REFUSED == found.signals[0].quality else "worked"


@pytest.mark.parametrize("name", PROBES)
def test_probes_come_to_nothing(pool: WorkerPool, name: str) -> None:
    """Files, network, processes, other processes' memory and signals, kernel interfaces, memory: all closed."""
    assert outcome(pool, name) in ("refused", "killed")


def test_probes_work_without_the_sandbox() -> None:
    """The same probes do work in a free process, so that the refusals above are the sandbox's doing."""
    assert sorted(PROBES.keys() - NO_CONTROL) == sorted(worked_in(f"free = True; skip = {NO_CONTROL!r}") - NO_CONTROL)


def worked_in(setting: str) -> set[str]:
    """The probes that worked, a fork each, in an interpreter of their own that begins with `setting`."""
    ran = subprocess.run(
        [sys.executable, "-c", f"{setting}\n{FORKS}"], cwd=Path(__file__).parents[3], capture_output=True, timeout=100,
        check=False, text=True,
    )  # fmt: skip

    assert 0 == ran.returncode, ran.stderr
    return set(ran.stdout.split())


# An interpreter in root's home is closed to nobody, so it becomes nobody after its imports.
FORKS = """
import os
from scanner.isolation.confinement import confine
from tests.scanner.isolation.probes import PROBES
if not free:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    assert 65534 == os.getuid()
for name, probe in PROBES.items():
    keep = os.dup2(2, 7)
    if name in skip:
        continue
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if not free:
                confine(1 << 30, keep)
            probe()
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1] == 0:
        print(name)
"""


def test_an_ordinary_user_is_confined_alike() -> None:
    """As another user than root the outcomes are the same."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")

    assert set() == worked_in("free = False; skip = ()")


def test_landlock_alone_closes_files_and_network() -> None:
    """Each half is in force by itself: without the list of system calls, files and connections are still closed."""
    program = (
        "from scanner.isolation import confinement, landlock\n"
        "from tests.scanner.isolation.probes import PROBES\n"
        "confinement._prctl(38, 1)\n"
        "landlock.restrict()\n"
        "for name in ('open', 'open_write', 'open_directory', 'connect', 'stat'):\n"
        "    try:\n"
        "        PROBES[name]()\n"
        "        print(name)\n"
        "    except OSError:\n"
        "        pass\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[3], capture_output=True, timeout=60, check=False,
        text=True,
    )  # fmt: skip

    # Landlock does not govern stat: that is the other half's part.
    assert (0, "stat\n") == (ran.returncode, ran.stdout), ran.stderr


def test_the_pool_says_what_confines_it(pool: WorkerPool) -> None:
    """What is in force can be asked, in words for `status`."""
    assert pool.sandbox.complete
    assert "landlock" in str(pool.sandbox)
    assert "seccomp" in str(pool.sandbox)
    assert not Sandbox(0, True).complete
    assert "none" == str(Sandbox(0, False))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_well_formed(machine: str) -> None:
    """Every jump of the program lands inside it, it fits the kernel's limit, and every call it names has a number."""
    arch = seccomp._ARCHES[machine]
    program = seccomp.program(arch, 1234)
    statements = [program[n : n + 8] for n in range(0, len(program), 8)]

    assert len(statements) < 4096
    for n, each in enumerate(statements):
        code, if_true, if_false = int.from_bytes(each[:2], sys.byteorder), each[2], each[3]
        if code in (0x15, 0x35, 0x45):
            assert n + 1 + max(if_true, if_false) < len(statements)
    assert len(set(arch.numbers.values())) == len(arch.numbers)
    assert set(seccomp._ALLOWED) - arch.numbers.keys() <= ({"poll", "dup3"} if machine == "aarch64" else set())


def test_forbidden_calls_are_counted() -> None:
    """A worker ended by the sandbox is counted as such, once per attempt; a refused call is not."""
    with WorkerPool(1, answer=PROBE) as fresh:
        assert "refused" == outcome(fresh, "open")
        assert 0 == fresh.forbidden_calls
        assert "killed" == outcome(fresh, "fork")
        assert 2 == fresh.forbidden_calls


def test_settings_survive_the_command_line() -> None:
    """What a pool is given is what its zygote reads."""
    from scanner.isolation.zygote import Settings

    settings = Settings(Options(dense=True, hash_types=("phash",)), Limits(image_s=1.5), "a:b")

    assert settings == Settings.decode(settings.encode())

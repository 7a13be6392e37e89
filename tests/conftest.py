"""What every test gets: a home that is nobody's, and Hypothesis settings that a slow machine does not upset."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import proofs

# A deadline measures the machine, not the code. In CI the same examples come each time, so that a red run is about the
# change.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("here", _patient)
settings.register_profile("ci", _patient, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


# Modules with a test of twenty seconds and more: begun last, one keeps a worker busy while the others have nothing.
_LONGEST = (
    "samples/test_feeds_demo.py",
    "samples/test_demo.py",
    "scanner/cli/test_watching.py",
    "durability/test_kills.py",
    "scanner/test_join_property.py",
)
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 << 30  # a run holds a tenth of that at once
_libc = ctypes.CDLL(None)
_LARGE_BYTES = 1 << 29  # more than all modules of tests and what they import take


def pytest_configure(config: pytest.Config) -> None:
    """Homes lie in memory where there is room: the same calls, but thousands of syncs wait for no disk."""
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK):
        about = os.statvfs(_MEMORY)
        if about.f_bavail * about.f_frsize >= _ROOM_BYTES and not about.f_flag & os.ST_NOEXEC:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, and the rest as it comes."""
    longest = {Path(__file__).parent / each for each in _LONGEST}
    assert all(each.is_file() for each in longest)
    items.sort(key=lambda item: item.path not in longest)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the longest proof runs."""
    parser.addoption("--stress-minutes", type=float, default=60.0, help="for how long processes share a home (prove)")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are no name: what a packer writes holds the second it was written in, and workers must collect alike."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True, scope="session")
def nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever forgets to say which home to use gets a temporary one, never the developer's own databases."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # hundreds of processes would each compile us anew
        patch.delenv("HASHWARD_HOME", raising=False)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """No test leaves this process in a hurry: a library that raised its priority would starve all that runs beside."""
    before = os.sched_getscheduler(0)
    yield

    assert before == os.sched_getscheduler(0), "a library has changed this process's scheduling policy"


@pytest.fixture(autouse=True, scope="module")
def nobody_left() -> Iterator[None]:
    """No module leaves a thread behind: one that spins slows whatever comes after it, and nobody looks for it there."""
    before = set(threading.enumerate())
    yield
    # pytest-timeout's is a Timer, one for each test.
    begun = [each for each in threading.enumerate() if each not in before and not isinstance(each, threading.Timer)]
    for each in begun:
        each.join(60)

    assert [] == [each.name for each in begun if each.is_alive()]


@pytest.fixture(autouse=True, scope="module")
def memory_given_back() -> Iterator[None]:
    """What a module's films took goes back to the machine: a process of gigabytes forks slowly, and many tests fork."""
    yield
    held = Path("/proc/self/statm")
    if held.exists() and int(held.read_text().split()[1]) * mmap.PAGESIZE > _LARGE_BYTES:
        gc.collect()
        if hasattr(_libc, "malloc_trim"):
            _libc.malloc_trim(0)


@pytest.fixture(scope="session")
def proof() -> Callable[..., None]:
    """Writes a long proof's figures: `proof(file, what, **figures)`."""
    return proofs.record

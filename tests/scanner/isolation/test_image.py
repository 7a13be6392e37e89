"""A process whose memory was moved into a file goes on as before, and its forks have nothing to copy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scanner.isolation import image

needs_extension = pytest.mark.skipif(not image.available(), reason="needs the compiled extension")
START = """
import ctypes, mmap, os, re
from scanner.isolation import image

def private_kib():
    with open("/proc/self/smaps_rollup") as rollup:
        return int(re.search(r"Anonymous: +(\\d+)", rollup.read())[1])

def told(work):
    said, say = os.pipe()
    if os.fork() == 0:
        os.write(say, bytes(work()))
        os._exit(0)
    os.close(say)
    with os.fdopen(said, "rb") as answer:
        return answer.read()

held = [os.urandom(5000) for _ in range(4000)]  # 20 MB in the heap
copies = [bytearray(each) for each in held]
"""


def ran(program: str, before: str = "") -> str:
    """What a process of its own prints: one that moves its memory is no place for other tests."""
    done = subprocess.run(
        [sys.executable, "-c", before + START + program], cwd=Path(__file__).parents[3], capture_output=True,
        timeout=100, check=False, text=True,
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr
    return done.stdout


@needs_extension
def test_everything_is_as_it_was_and_can_be_changed() -> None:
    """What was written is read after the move, blocks grow and go, and new ones come."""
    program = """
growing = bytearray(b"x" * 3_000_000)
assert image.share() > 0
assert held == copies
growing += bytes(30_000_000)
assert growing.count(b"x") == 3_000_000 and len(growing) == 33_000_000 and growing[-1] == 0
copies[:] = [bytes(each[:2500]) for each in copies]
assert all(each.startswith(copy) for each, copy in zip(held, copies))
del held[::2], growing
import decimal, json
print(json.dumps(str(decimal.Decimal(2).sqrt())[:6]), image.share() > 0)
"""

    assert '"1.4142 True\n' == ran(program).replace('" T', " T")


@needs_extension
def test_nearly_nothing_is_left_for_a_fork_to_copy() -> None:
    """Of what a process had to itself less than a tenth is left."""
    program = "before = private_kib()\nimage.share()\nprint(before > 20_000, private_kib() < before / 10)"

    assert "True True\n" == ran(program)


@needs_extension
def test_what_one_process_writes_no_other_reads() -> None:
    """A fork sees what was written before it, and neither process sees what the other writes after."""
    program = """
image.share()
copies[0][:5] = b"early"
def child():
    copies[1][:5] = b"child"
    return copies[0][:5] + copies[1][:5]
assert told(child) == b"earlychild"
assert copies[0][:5] == b"early" and copies[1] == held[1]
assert told(lambda: copies[1][:5]) == held[1][:5]
print("apart")
"""

    assert "apart\n" == ran(program)


@needs_extension
def test_memory_that_a_fork_must_treat_otherwise_stays_what_it_is() -> None:
    """What is wiped on fork, as generators of keys have it, what is not copied, and what is shared."""
    program = """
wiped, absent, shared = (mmap.mmap(-1, 8192, flags=mmap.MAP_ANONYMOUS | how) for how in (2, 2, 1))
wiped.madvise(18)
absent.madvise(10)
for each in (wiped, absent, shared):
    each[:6] = b"before"
image.share()
address = ctypes.addressof(ctypes.c_char.from_buffer(absent))
with open("/proc/self/maps") as maps:
    assert not any(line.startswith(f"{address:x}-") and "image" in line for line in maps)
def child():
    shared[:5] = b"child"
    return wiped[:6]
assert told(child) == bytes(6)
assert wiped[:6] == absent[:6] == b"before"
print(shared[:6])
"""

    assert "b'childe'\n" == ran(program)


@needs_extension
def test_nothing_is_moved_where_files_may_not_be_as_long() -> None:
    """A limit on the length of files costs the gain and nothing else."""
    program = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
print(image.share(), held == copies)
"""

    assert "0 True\n" == ran(program)


def test_without_the_extension_forks_copy_and_it_is_said() -> None:
    """An installation without a compiler works, and says what it lacks."""
    program = """
from scanner.isolation.standing import sandbox_level
print(image.available(), image.share(), "forks copy memory" in sandbox_level())
"""

    assert "False 0 True\n" == ran(program, "import sys\nsys.modules['scanner.isolation._native'] = None\n")

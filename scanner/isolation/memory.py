"""How workers hold memory, so that forking, confining and ending one costs little.

A worker's cost is page faults: a fork shares its pages until they are written, and room for pixels comes page by page.
- While codecs are warmed up, large blocks come from the system and go back to it: no holes are left among small ones.
- Afterwards they come from the heap and stay there, in pages of 2 MiB where the kernel gives them on request: the first
  pictures of a new worker take 10 faults for their pixels instead of 2,000, and a third of the time.
- What is left, beside what `image` saves, is copying: some 1,100 pages until a first picture is done with, for the
  counts of references in objects of Python. Asking for them at once (MADV_POPULATE_WRITE) costs as much; what was
  collapsed into huge pages before forking (MADV_COLLAPSE) is taken apart again by the first workers.

Only where the C library is glibc; elsewhere nothing is changed.
"""

from __future__ import annotations

import ctypes
import gc

MIB = 1024 * 1024
# For the environment of the zygote: glibc then asks for huge pages by itself (2.35 and later; before, it is ignored).
ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_SMALL = 64 * 1024
_LARGEST_IN_HEAP = 32 * MIB  # glibc's DEFAULT_MMAP_THRESHOLD_MAX
_KEPT = 2 * _LARGEST_IN_HEAP  # as glibc's own moving threshold would have it
_STEP = 4 * MIB
_PR_SET_THP_DISABLE = 41

_POINTER = ctypes.c_void_p

_libc = ctypes.CDLL(None)


class _Mallinfo2(ctypes.Structure):
    """What glibc tells of its memory (malloc.h); `hblkhd` are the bytes outside the heap."""

    _fields_ = (("before", ctypes.c_size_t * 4), ("hblkhd", ctypes.c_size_t), ("behind", ctypes.c_size_t * 5))


def warming_up() -> None:
    """From now on large blocks leave nothing behind in the heap, and no page is huge. Called once, in the zygote."""
    _libc.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)  # every worker would have to take them apart
    _tell(_MMAP_THRESHOLD, _SMALL)


def settle() -> None:
    """Give back what warming up used. Called once, in the zygote, before any fork."""
    gc.collect()
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)  # pages that are free need not be copied at every fork
    _leave_no_holes()
    _tell(_MMAP_THRESHOLD, _LARGEST_IN_HEAP)
    _tell(_TRIM_THRESHOLD, _KEPT)
    _tell(_TOP_PAD, _STEP)
    gc.freeze()  # keeps the collector from touching, and so copying, the pages shared with every worker


def _leave_no_holes() -> None:
    """Take all room in the heap that large blocks would fit in: it lies among pages in use, so it cannot be huge."""
    if not hasattr(_libc, "mallinfo2"):
        return
    _libc.mallinfo2.restype = _Mallinfo2
    _libc.malloc.argtypes, _libc.malloc.restype, _libc.free.argtypes = (ctypes.c_size_t,), _POINTER, (_POINTER,)
    for size_bytes in (4 * MIB, MIB, MIB // 4, _SMALL):
        outside = _libc.mallinfo2().hblkhd
        block = _libc.malloc(size_bytes)
        while _libc.mallinfo2().hblkhd == outside:
            block = _libc.malloc(size_bytes)
        _libc.free(block)


def grow_in_huge_pages() -> None:
    """What is added to the heap from now on is huge pages. Called once in each worker."""
    _libc.prctl(_PR_SET_THP_DISABLE, 0, 0, 0, 0)


def _tell(parameter: int, value: int) -> None:
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(parameter, value)

# What native/module.c offers. Buffers are anything with the buffer protocol; sizes are checked there, dtypes are not.
from typing import Any, final

Buffer = Any  # collections.abc.Buffer, from Python 3.12

OFFSETS_STRIDE: int
QUERY_LIMIT: int
REVISION: int

Found = tuple[bytearray, bytearray, bytearray] | None

@final
class Index:
    def __new__(
        cls,
        kernel: str | None,
        n: int,
        words: int,
        planes: int,
        source_bit: Buffer,
        tables: Buffer,
        rows: Buffer,
        offsets: Buffer | None,
        next1: Buffer | None,
        next2: Buffer | None,
        row: Buffer | None,
        plane: Buffer | None,
        /,
    ) -> Index: ...
    def search(
        self, values: Buffer, count: int, radius: int, strategy: int, withdrawn: Buffer | None, most: int = 0, /
    ) -> Found: ...

@final
class Digests:
    def __new__(
        cls, n: int, width: int, prefix_bits: int, digests: Buffer, row: Buffer, prefixes: Buffer, /
    ) -> Digests: ...
    def __contains__(self, value: bytes, /) -> bool: ...
    def search(self, values: Buffer, count: int, withdrawn: Buffer | None, /) -> Found: ...

def kernels() -> list[str]: ...
def permute(
    kernel: str | None, words: int, source_bit: Buffer, values: Buffer, count: int, rows: Buffer, /
) -> None: ...
def build_table(
    words: int,
    n: int,
    chunk: int,
    rows: Buffer,
    scratch: Buffer,
    offsets: Buffer,
    next1: Buffer,
    next2: Buffer | None,
    row: Buffer,
    /,
) -> None: ...
def build_planes(words: int, n: int, planes: int, rows: Buffer, plane: Buffer, /) -> None: ...
def build_digests(
    n: int, width: int, prefix_bits: int, values: Buffer, digests: Buffer, row: Buffer, prefixes: Buffer, /
) -> None: ...

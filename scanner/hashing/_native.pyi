# What native/module.c offers. Shapes and strides of what is fed are checked there.
from typing import Any, final

Buffer = Any  # collections.abc.Buffer, from Python 3.12

@final
class Pass:
    def __new__(
        cls,
        kernel: str | None,
        height: int,
        width: int,
        scale: int,
        readings: tuple[tuple[int, int, int, int, int], ...],
        /,
    ) -> Pass: ...
    def feed(self, pixels: Buffer, luma: tuple[int, int, int], /) -> None: ...
    def grids(self) -> list[bytes]: ...
    def hashes(self, limited: bool, /) -> list[tuple[bytes, int]]: ...

@final
class Digests:
    def __new__(cls) -> Digests: ...
    def update(self, block: Buffer, /) -> None: ...
    def digests(self) -> tuple[bytes, bytes, bytes]: ...

DIGESTS: bool

def kernels() -> list[str]: ...
def axis(total: int, first: int, length: int, reverse: bool, scale: int, /) -> tuple[bytes, bytes, bytes]: ...

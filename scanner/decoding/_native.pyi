# What native/module.c offers.
from typing import Any

Buffer = Any  # collections.abc.Buffer, from Python 3.12

def is_usable() -> bool: ...
def luma(encoded: Buffer, height: int, width: int, scale: int, /) -> tuple[bytearray, int] | None: ...

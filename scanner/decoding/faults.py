"""Which exceptions say that this installation is at fault, and not the content.

Decoders raise nearly anything for bad bytes, so most exceptions count as "cannot be decoded", which is final. Counted
so, a library whose interface moved would turn every file into one that needs no second look.
"""

from __future__ import annotations

from types import TracebackType

# What Python raises where a name, an argument or an assumption of ours is wrong.
_OURS = (TypeError, AttributeError, NameError, AssertionError, NotImplementedError)


def is_ours(error: Exception) -> bool:
    """Whether we are at fault, by kind and by the code that raised it.

    ImportError always: nothing can be imported that is not there when a worker starts. In hashing anything, as it is
    given pixels. Elsewhere in our code, a call into compiled code included, the kinds that say "not meant like this";
    inside a library they say that it was misled by the content.
    """
    if isinstance(error, ImportError):
        return True
    module = _raised_in(error.__traceback__)
    return module.startswith("scanner.hashing.") or (module.startswith("scanner.") and isinstance(error, _OURS))


def _raised_in(trace: TracebackType | None) -> str:
    """The name of the innermost module of the trace that is written in Python."""
    name = ""
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        trace = trace.tb_next
    return name

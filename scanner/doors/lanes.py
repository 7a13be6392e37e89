"""The threads of an intake: a bounded number of them look at contents, and some are always free for what is short.

Rules
- Whoever hashed a content goes on to look at it in the same thread: to wake another costs as much as a file of 100 KB.
- A look past the bound waits for another to end, in order; what is short (digests, what is recalled) never does.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

SHORT = 2  # threads for what is short, whatever is looked at

Work = Callable[[], object]


class Lanes(ThreadPoolExecutor):
    """As an executor: for what is short. `look` is for the rest."""

    def __init__(self, looks: int) -> None:
        super().__init__(looks + SHORT, thread_name_prefix="lane")
        self._counting = threading.Lock()
        self._free = looks
        self._waiting: deque[Work] = deque()

    def look(self, look: Work) -> None:
        """From one of these threads, and the last it does: run a look, here and now or when there is room for it."""
        with self._counting:
            if not self._free:
                self._waiting.append(look)
                return
            self._free -= 1
        self._look(look)

    def _look(self, look: Work) -> None:
        try:
            look()
        finally:
            following = self._next()
            if following is not None:
                self.submit(self._look, following)

    def _next(self) -> Work | None:
        """The look that waits longest; None, and one place more is free, where none does."""
        with self._counting:
            if self._waiting:
                return self._waiting.popleft()
            self._free += 1
            return None

    def end(self) -> None:
        """Begin nothing more."""
        with self._counting:
            self._waiting.clear()
        self.shutdown(wait=False, cancel_futures=True)

"""The room of one listener: so many connections at most, and past that whoever keeps us waiting makes room.

Rules
- Nobody who waits for us is sent away for another.
- First goes who has been there longest without having asked for anything whole: a few bytes now and then buy no time.
  Then who has been silent longest in the middle of a body. Neither before that is more than the network's own delay.
- Where nobody can be sent away, who comes next waits outside.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

UNASKED_S: Final = 0.5  # longer than the way there and back by satellite
SILENT_S: Final = 5.0  # longer than a lost packet takes to come again, some times over (RFC 6298: 1 s, doubled)


def _never() -> bool:
    return False


class Seat:
    """The place of one connection. `busy`: whether it is owed something although it may ask for more."""

    def __init__(self, room: Room, send_away: Callable[[], object]) -> None:
        self._room = room
        self._send_away = send_away
        self.busy: Callable[[], bool] = _never
        self.sent_away = False

    def awaits_request(self) -> None:
        """It is for the client to ask. Said again, it keeps the time of the first."""
        self._room.silent.pop(self, None)
        if not self.sent_away:
            self._room.unasked.setdefault(self, self._room.now())
            self._room.stirred.set()

    def awaits_body(self) -> None:
        """It is for the client to send more of what it has begun; the time is that of the last bytes."""
        self.is_served()
        if not self.sent_away:
            self._room.silent[self] = self._room.now()

    def is_served(self) -> None:
        """It is for us to answer."""
        self._room.unasked.pop(self, None)
        self._room.silent.pop(self, None)

    def close(self) -> None:
        """The connection has ended."""
        self.is_served()
        self._room.taken.discard(self)
        self._room.stirred.set()

    def make_room(self) -> None:
        """End the connection for another's sake; its place is free from now on."""
        self.sent_away = True
        self.close()
        self._send_away()


class Room:
    """See the module. `stirred` is set whenever it may be worth asking again. Of one event loop."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.now = now
        self.taken: set[Seat] = set()
        self.unasked: dict[Seat, float] = {}
        self.silent: dict[Seat, float] = {}
        self.stirred = asyncio.Event()

    def __len__(self) -> int:
        return len(self.taken)

    def seat(self, send_away: Callable[[], object]) -> Seat:
        """A place for one more; `send_away` ends the connection soon."""
        made = Seat(self, send_away)
        self.taken.add(made)
        made.awaits_request()
        return made

    def has_room(self) -> bool:
        """Whether one more may come in: room is made where it can be."""
        return len(self.taken) < self.most or self.make_room()

    def make_room(self) -> bool:
        """Send somebody away; False where nobody can be."""
        for waiting, least_s in ((self.unasked, UNASKED_S), (self.silent, SILENT_S)):
            latest_s = self.now() - least_s
            for seat, since_s in waiting.items():
                if since_s > latest_s:
                    break
                if not seat.busy():
                    seat.make_room()
                    return True
        return False

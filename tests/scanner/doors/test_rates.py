"""How often something may happen."""

from __future__ import annotations

from pathlib import Path

from scanner.doors.rates import Rate
from tests.scanner.doors.faces import Face


def test_so_many_at_once_and_then_as_they_come_again() -> None:
    """A second's worth unless it says how many; never more than that, however long nobody asked."""
    now_s = 0.0
    by_the_second, by_the_minute = Rate(2, now=lambda: now_s), Rate(3 / 60, 3, now=lambda: now_s)

    def allowed(rate: Rate) -> int:
        return sum(rate.allows() for _ in range(10))

    assert (2, 3) == (allowed(by_the_second), allowed(by_the_minute))
    now_s = 21.0
    assert (2, 1) == (allowed(by_the_second), allowed(by_the_minute))
    now_s = 1000.0
    assert (2, 3) == (allowed(by_the_second), allowed(by_the_minute))
    assert 10 == allowed(Rate(None))


def test_a_minutes_lookups_may_come_at_once(tmp_path: Path) -> None:
    """An asker looks up each hash of a file one behind the other."""
    face = Face(tmp_path / "home")
    face.door.lookups_per_minute = 3
    token = face.ledger.tokens.add("hma", ["lookup"], "2026-11-23")
    may = {"Authorization": f"Bearer {token}"}
    codes = [face.client.get("/m/lookup?signal_type=none&signal=00", headers=may).status_code for _ in range(3)]
    face.ledger.close()

    assert [400] * 3 == codes

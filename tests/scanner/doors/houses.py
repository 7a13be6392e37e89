"""An intake over a site of `tests.scanner.fakes`: real ledger, store and threads, fake media; how to hand it bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from scanner.doors.answers import Answer
from scanner.doors.intake import Bounds, Intake
from scanner.doors.outside import Outside
from scanner.doors.rules import DoorRules
from scanner.metrics import Metrics
from scanner.pipeline import Pipeline, SetsInForce
from tests.scanner.fakes import Site

T = TypeVar("T")
RULES = DoorRules("door", deadline_s=60.0)


class House:
    """One intake, started, in the loop of a test."""

    def __init__(
        self, site: Site, spool: Path, bounds: Bounds | None, sets: SetsInForce, outside: Outside | None = None
    ) -> None:
        self.site = site
        self.spool = spool
        self.metrics = Metrics(("door",))
        self.sets = sets
        pipeline = Pipeline(sets, site.ledger, site.fingerprinter, site.clock)
        bounds = bounds or Bounds(lanes=2)
        self.intake = Intake(sets, site.ledger, pipeline, site.clock, spool, self.metrics, bounds, outside)

    async def upload(self, body: bytes, ref: bytes | None = None, piece: int = 65536, **rules: Any) -> Answer:
        """Hand over a body in pieces; the answer."""
        upload = self.intake.begin(replace(RULES, **rules), ref)
        for start in range(0, len(body), piece):
            await upload.write(body[start : start + piece])
        return await upload.finish()


@asynccontextmanager
async def house(
    site: Site,
    tmp_path: Path,
    bounds: Bounds | None = None,
    sets: SetsInForce | None = None,
    outside: Outside | None = None,
) -> Any:
    """An intake that is ready, and ended afterwards."""
    spool = tmp_path / "spool"
    spool.mkdir(exist_ok=True)
    made = House(site, spool, bounds, sets or SetsInForce(site.store), outside)
    made.intake.start()
    try:
        yield made
    finally:
        await made.intake.close(60)


def run(test: Callable[[], Awaitable[T]]) -> T:
    """Run a test's coroutine; what it left running is cancelled."""

    async def whole() -> T:
        try:
            return await test()
        finally:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:  # type: ignore[arg-type]
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    return asyncio.run(whole())

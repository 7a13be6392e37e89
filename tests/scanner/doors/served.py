"""`hashward serve` as a real process over a home of its own, on ports of the system's choosing."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.command import Hashward

START_S = 100.0
STOP_S = 100.0


@dataclass
class Served:
    """A serving process. `lines` are what it printed; `ports` its TCP ports by listener."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    client: Any = None

    @property
    def said(self) -> str:
        """Everything it printed on standard output."""
        return "\n".join(self.lines)

    def url(self, listener: str = "http") -> str:
        """Where a listener is."""
        return f"http://127.0.0.1:{self.ports[listener]}"

    def await_ready(self) -> None:
        """Read its lines until it serves; keep reading so that it never waits for us."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            event = json.loads(line)
            if event["event"] == "serving":
                for each in event["listeners"]:
                    self.ports[each["name"]] = int(each["address"].rpartition(":")[2]) if ":" in each["address"] else 0
                threading.Thread(target=self._read, daemon=True).start()
                return
        raise AssertionError(f"serve ended: {self.process.stderr and self.process.stderr.read()}")

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):
            self.lines.extend(self.process.stdout)


@contextlib.contextmanager
def served(hashward: Hashward, *words: object, config: str | None = None, **how: Any) -> Iterator[Served]:
    """Start it, and end it afterwards unless the test did."""
    if config is not None:
        hashward.home.mkdir(parents=True, exist_ok=True)
        (hashward.home / "config.toml").write_text(config)
    elif not words:
        words = ("--http", "127.0.0.1:0")
    with hashward.process("serve", *words, "--json", **how) as process:
        made = Served(process)
        try:
            made.await_ready()
            if made.ports.get("http"):
                made.client = httpx.Client(base_url=made.url(), timeout=60)
            yield made
        finally:
            if made.client is not None:
                made.client.close()
            process.terminate()
            try:
                process.wait(STOP_S)
            finally:
                process.kill()


def listing(path: Path, *digests: str) -> Path:
    """A file that lists SHA-256 values."""
    path.write_text("".join(f"sha256 {digest}\n" for digest in digests))
    return path

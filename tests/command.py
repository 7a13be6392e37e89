"""The `hashward` command over a home of its own: as a real process, or in this one where that is equal and faster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from scanner.cli import main

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[Any]:
        """Standard output as one JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self) -> Any:
        """Standard output as the one JSON document it must be."""
        (only,) = self.objects
        return only


@dataclass(frozen=True)
class Hashward:
    """The command; words are joined as a shell would."""

    home: Path

    def __call__(self, *words: object) -> Done:
        """Run in this process."""
        before = signal.getsignal(signal.SIGTERM)
        try:
            done = CliRunner().invoke(main, ["--home", str(self.home), *map(str, words)])
        finally:
            signal.signal(signal.SIGTERM, before)
        return Done(done.exit_code, done.stdout, done.stderr)

    def json(self, *words: object) -> Any:
        """Run in this process with --json; the one document it printed."""
        return self(*words, "--json").object

    def process(self, *words: object, **how: Any) -> subprocess.Popen[str]:
        """Start a real process, which a Ctrl-C reaches even where the tests run in the background of a shell."""
        usual: dict[str, Any] = {
            "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
            "preexec_fn": _heed_interrupts,
        }  # fmt: skip
        return subprocess.Popen(self.line(*words), cwd=PROJECT, env=_environment(), **usual | how)

    def line(self, *words: object) -> list[str | bytes]:
        """The command line of a real process."""
        typed = [word if isinstance(word, bytes) else str(word) for word in words]
        return [sys.executable, "-m", "scanner", "--home", str(self.home), *typed]

    def real(self, *words: object, stdin: str | bytes | None = None, timeout: float = 300) -> Done:
        """Run a real process to its end."""
        entered = stdin.encode() if isinstance(stdin, str) else stdin
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if entered is None else {"input": entered}
        done = subprocess.run(
            self.line(*words), cwd=PROJECT, env=_environment(), capture_output=True, timeout=timeout, **given
        )
        return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HASHWARD_")}

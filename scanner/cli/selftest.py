"""`selftest`."""

from __future__ import annotations

import click

from scanner.api import Scanner
from scanner.cli.groups import allow_unsandboxed
from scanner.cli.output import emit_json, json_option


@click.command()
@allow_unsandboxed
@json_option
@click.pass_obj
def selftest(scanner: Scanner, as_json: bool) -> None:
    """Prove with the canary set that a planted file is found, end to end. Exit 1 when it is not."""
    from scanner.selftest import run  # brings the decoders, which most commands never need

    steps = []
    for step in run(scanner):
        steps.append(step)
        if not as_json:
            click.echo(f"{'ok  ' if step.passed else 'FAIL'}  {step.story}")
    passed = all(step.passed for step in steps)
    if as_json:
        emit_json({"passed": passed, "steps": [{"story": s.story, "passed": s.passed} for s in steps]})
    if not passed:
        raise SystemExit(1)


COMMANDS = (selftest,)

"""The `hashset` group (refresh pending)."""

from __future__ import annotations

import click


@click.group()
def hashset() -> None:
    """Hash sets: what is listed."""


COMMANDS = (hashset,)

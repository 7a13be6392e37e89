"""The `hashward` command, one module per group. A command parses and prints; the work is in the library."""

from scanner.cli.main import main

__all__ = ["main"]

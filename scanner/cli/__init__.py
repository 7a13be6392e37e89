"""The `hashward` command, one module per group. A command parses and prints; the work is in the library."""

import sys

try:
    from scanner.cli.main import main
except KeyboardInterrupt:  # stopped while the libraries load, before any border stands
    sys.exit(130)

__all__ = ["main"]

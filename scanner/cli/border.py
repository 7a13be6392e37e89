"""The border at which every error becomes one sentence on standard error and an exit code.

Rules
- No sentence repeats a path, a file name, a value or anything else that was typed: logs are kept longer than files.
- Nothing that a user does ends in a traceback. What ends here unforeseen is named by its place in our code.
- Exit 1 says "match" (`scan`) or "hit" (`lookup`), so no fault of the machine may end in 1.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import NoReturn

import click

from hashsets.errors import HashsetsError
from scanner.errors import ScannerError

EXIT_SYSTEM, EXIT_FAULT = 71, 70  # sysexits.h: EX_OSERR, EX_SOFTWARE
EXIT_INTERRUPTED, EXIT_READER_GONE = 130, 141  # as a shell shows SIGINT and SIGPIPE

STOPPED = "Stopped. What was finished is recorded; the same command goes on from there."


class ReaderGone(Exception):
    """Whoever read our output has stopped: `| head`."""


@contextlib.contextmanager
def error_border() -> Iterator[None]:
    """Turn every error into one sentence and its exit code."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        yield
    except (HashsetsError, ScannerError) as error:
        _fail(sentence(str(error)), error.exit_code)
    except click.UsageError as error:
        _misused(error)
    except (KeyboardInterrupt, click.Abort):
        _fail(STOPPED, EXIT_INTERRUPTED)
    except (BrokenPipeError, ReaderGone):
        # Point standard output elsewhere, so that the flush at exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_READER_GONE)
    except MemoryError:
        _fail("There is not enough memory for this.", EXIT_SYSTEM)
    except OSError as error:
        _fail(f"The system refused an operation ({os.strerror(error.errno or 0)}).", EXIT_SYSTEM)
    except Exception as error:  # the outermost border: a traceback could show a path or a value
        place = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__} in {os.path.basename(place.filename)}:{place.lineno}"
        _fail(f"This is a fault of hashward ({fault}); please report it. What was finished is recorded.", EXIT_FAULT)


@contextlib.contextmanager
def reader_may_go() -> Iterator[None]:
    """Take a broken pipe out of click's hands, which would end in exit 1: that says "match" here."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone from None


def sentence(message: str) -> str:
    """A message as a sentence: a capital, unless it begins with the name of a setting or option, and a full stop."""
    if re.match(r"[a-z]+[ ,']", message):
        message = message[0].upper() + message[1:]
    return message if message.endswith((".", "?", "!")) else f"{message}."


def _misused(error: click.UsageError) -> NoReturn:
    """Say what click found wrong without what was typed, which click's own messages repeat."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        sys.exit(error.exit_code)
    where = "" if error.ctx is None else f" `{error.ctx.command_path} --help` shows how it is called."
    _fail(_what_is_wrong(error) + where, error.exit_code)


def _what_is_wrong(error: click.UsageError) -> str:
    if isinstance(error, click.MissingParameter):
        return sentence(" ".join(error.format_message().split()))  # click lists choices one a line
    if isinstance(error, click.BadParameter):
        return _bad_parameter(error)
    if isinstance(error, click.BadOptionUsage):
        return f"Option {error.option_name} is not used as it is meant."
    if isinstance(error, click.NoSuchOption):
        return f"There is no such option.{_did_you_mean(error)}"
    if "command" in error.message:
        return f"There is no such command.{_did_you_mean(error)}"
    return "There are more arguments than the command takes."


def _bad_parameter(error: click.BadParameter) -> str:
    kind = None if error.param is None else error.param.type
    if isinstance(kind, click.Choice):
        wanted = f"one of {', '.join(map(str, kind.choices))}"
    else:
        wanted = {"integer": "a whole number", "float": "a number"}.get(getattr(kind, "name", ""), "something else")
    name = "An argument" if error.param is None else error.param.get_error_hint(error.ctx or click.Context(error.param))  # type: ignore[arg-type]
    return f"{name.strip(chr(39))} takes {wanted}."


def _did_you_mean(error: click.UsageError) -> str:
    near = getattr(error, "possibilities", None)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _as_interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"hashward: {message}", err=True)
    sys.exit(code)

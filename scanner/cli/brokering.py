"""`broker`: the keeper of the audit log, under a user of its own."""

from __future__ import annotations

import os
import pwd
import signal

import click

from scanner import unix_socket
from scanner.accountability.broker import Broker
from scanner.accountability.keeping import NOT_BEGUN
from scanner.accountability.log_file import LogFile
from scanner.api import Scanner
from scanner.config import notify_address
from scanner.errors import UsageError
from scanner.watch import notify, say_on_stderr

_BACKLOG = 64


@click.command()
@click.option("--socket", "path", required=True, metavar="PATH", help="The Unix socket at which it is asked.")
@click.option("--user", "users", required=True, multiple=True, help="Who may ask: a user's name or number; repeatable.")
@click.pass_obj
def broker(scanner: Scanner, path: str, users: tuple[str, ...]) -> None:
    """Keep the audit log of another user's home, and the keys of its sealed locations.

    That user can add to the log, change nothing of it, and have no location opened without a line in it. Runs as a
    user of its own with a home of its own, in which `hashward audit init` was run once. The scanner's configuration
    names the socket ([broker] socket). SIGTERM or Ctrl-C ends it.
    """
    if not LogFile(scanner.home.folder).begun:
        raise UsageError(NOT_BEGUN)
    keeper = Broker(scanner.home.folder, frozenset(map(_number, users)))
    try:
        listener = unix_socket.listening(os.path.abspath(path), 0o666, None, _BACKLOG)  # the kernel says who it is
    except OSError as error:
        raise UsageError(f"The broker cannot listen where it is told to ({os.strerror(error.errno or 0)}).") from None
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: keeper.stop())
    say = say_on_stderr(scanner.clock)
    manager = notify_address()
    say("keeping the audit log")
    notify(manager, "READY=1")
    with listener:
        keeper.serve(listener)
    notify(manager, "STOPPING=1")
    say("stopped")


def _number(user: str) -> int:
    try:
        return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise UsageError("--user names somebody who is no user of this machine.") from None


COMMANDS = (broker,)

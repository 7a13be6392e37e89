"""Listening sockets: TCP, Unix, or handed over by the service manager.

Rules
- Peers that may not connect are turned away at accept: the protocols never hear of them.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
from collections.abc import Mapping
from typing import Final

from scanner import unix_socket
from scanner.errors import UsageError
from scanner.serve_config import Address, ListenerConfig

BACKLOG: Final = 1024
_MOST_PATH_BYTES: Final = 107  # sun_path, with its NUL (unix(7)); what Python says of a longer one has no errno


class GuardedSocket(socket.socket):
    """A listening Unix socket that takes connections of some users only."""

    users: frozenset[int] = frozenset()

    def accept(self) -> tuple[socket.socket, object]:
        """The next connection. Raises BlockingIOError, as where none is waiting, for one that is turned away."""
        connection, address = super().accept()
        if unix_socket.user_of(connection) not in self.users:
            connection.close()
            raise BlockingIOError
        return connection, address


def listening(config: ListenerConfig, inherited: Mapping[str, int]) -> socket.socket:
    """The socket a listener accepts on. Raises UsageError, with a sentence that names no path."""
    try:
        if config.address.is_inherited:
            return _inherited(config.name, inherited)
        if config.address.path:
            return _guarded(_unix(config), config.socket_users)
        return _tcp(config.address)
    except (socket.gaierror, UnicodeError):  # the resolver's numbers are none of errno's; IDNA refuses some names
        raise UsageError(f"The listener {config.name} cannot listen: its host's name has no address here.") from None
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else f"a Unix socket's path has {_MOST_PATH_BYTES} bytes at most"
        raise UsageError(
            f"The listener {config.name} cannot listen where it is told to ({why}).{_advice(config, error)}"
        ) from None


def _advice(config: ListenerConfig, error: OSError) -> str:
    """What to do where a Unix socket cannot be made."""
    if config.address.path and error.errno == errno.EPERM:
        return " hashward's user has to be a member of its socket_group."
    if config.address.path and error.errno in (errno.ENOENT, errno.EACCES, errno.EROFS):
        return " The socket's folder has to be there, and hashward's user has to be allowed to write to it."
    return ""


def _inherited(name: str, inherited: Mapping[str, int]) -> socket.socket:
    if name not in inherited:
        raise UsageError(f"systemd has handed over no socket for {name}: FileDescriptorName= in its unit names it.")
    made = socket.socket(fileno=inherited[name])
    made.setblocking(False)
    os.set_inheritable(made.fileno(), False)
    return made


def _tcp(address: Address) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(where)
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


def _unix(config: ListenerConfig) -> socket.socket:
    group = None
    if config.socket_group is not None:
        try:
            group = grp.getgrnam(config.socket_group).gr_gid
        except KeyError:
            raise UsageError("serve.listener.socket_group names no group of this machine.") from None
    return unix_socket.listening(config.address.path, config.socket_mode, group, BACKLOG)


def _guarded(made: socket.socket, users: tuple[str, ...]) -> socket.socket:
    if not users:
        return made
    guarded = GuardedSocket(fileno=made.detach())
    guarded.setblocking(False)
    try:
        guarded.users = frozenset(int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid for user in users)
    except KeyError:
        guarded.close()
        raise UsageError("serve.listener.socket_users names somebody who is no user of this machine.") from None
    return guarded

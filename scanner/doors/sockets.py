"""Listening sockets: TCP, Unix, or handed over by the service manager.

Rules
- A Unix socket is born closed to all and gets its mode and group after that. One left by a process that is gone is
  replaced; one that somebody answers on is not.
- Peers that may not connect are turned away at accept: the protocols never hear of them.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import socket
import stat
import struct
from collections.abc import Mapping
from typing import Final

from scanner.errors import UsageError
from scanner.serve_config import Address, ListenerConfig

BACKLOG: Final = 1024
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


class GuardedSocket(socket.socket):
    """A listening Unix socket that takes connections of some users only."""

    users: frozenset[int] = frozenset()

    def accept(self) -> tuple[socket.socket, object]:
        """The next connection. Raises BlockingIOError, as where none is waiting, for one that is turned away."""
        connection, address = super().accept()
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(raw)[1] not in self.users:
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
        why = os.strerror(error.errno or 0)
        raise UsageError(f"The listener {config.name} cannot listen where it is told to ({why}).") from None


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
    path = config.address.path
    _make_way(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777)
    try:
        made.bind(path)
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    try:
        if config.socket_group is not None:
            os.chown(path, -1, grp.getgrnam(config.socket_group).gr_gid)
        os.chmod(path, config.socket_mode)
    except KeyError:
        made.close()
        raise UsageError("serve.listener.socket_group names no group of this machine.") from None
    made.listen(BACKLOG)
    made.setblocking(False)
    return made


def _make_way(path: str) -> None:
    """Take away a socket nobody answers on any more. Raises OSError where somebody does, or where it is no socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return  # bind says that the address is in use
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


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

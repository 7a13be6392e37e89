"""What [serve] and each [[serve.listener]] of the configuration may say together.

Knows no environment and opens nothing. The kinds of doors and what each waits for its callers stand here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal

from scanner.errors import ConfigError
from scanner.loopback import is_loopback

USUAL_HTTP: Final = "127.0.0.1:8417"


class DoorKind(StrEnum):
    """What a listener speaks."""

    HTTP = "http"
    CLAMD = "clamd"
    ICAP = "icap"


class Access(StrEnum):
    """Who may ask an http listener: anybody who reaches it, whoever has a token, or whoever has a certificate."""

    OPEN = "open"
    TOKEN = "token"
    CERTIFICATE = "certificate"


# Under the shortest time each door's callers wait (facts: upload doors, 13): 3 s of clamd's, 30 s of pict-rs.
USUAL_DEADLINE_S: Final = {DoorKind.HTTP: 25.0, DoorKind.CLAMD: 2.5, DoorKind.ICAP: 60.0}
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens: a host and port, a Unix socket's path, or what the service manager opened for it."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_inherited(self) -> bool:
        """Whether systemd opened it."""
        return not self.host and not self.path

    @property
    def is_local(self) -> bool:
        """Whether nobody from elsewhere can reach it, as far as its form tells."""
        return bool(self.path) or is_loopback(self.host)


def parse_address(text: str) -> Address:
    """HOST:PORT, [IPv6]:PORT, an absolute path, or the word systemd. Raises ValueError."""
    if text == "systemd":
        return Address()
    if text.startswith("/") and "\x00" not in text:
        return Address(path=text)
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise ValueError
    host = found["host"].strip("[]")
    if found["host"].startswith("["):
        ipaddress.IPv6Address(host)
    return Address(host=host, port=int(found["port"]))


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One listener. `name` is what metrics and logs call it."""

    kind: DoorKind
    address: Address
    name: str
    on_undecidable: Literal["error", "found", "ok"] = "error"
    on_match: Literal["block", "accept"] = "block"
    deadline_seconds: float | None = None
    max_mb: int = 4096
    cut_lengths: tuple[int, ...] | None = None
    whole_files: bool = False
    roots: tuple[Path, ...] = ()
    uploads_per_second: float | None = None
    region: str = ""
    receive_seconds: float = 3600.0
    access: Access | None = None
    lookups_per_minute: int = 0
    max_connections: int = 2048
    certificate_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None
    socket_mode: int = 0o660
    socket_group: str | None = None
    socket_users: tuple[str, ...] = ()

    @property
    def deadline_s(self) -> float:
        """Within what time there is an answer."""
        return USUAL_DEADLINE_S[self.kind] if self.deadline_seconds is None else self.deadline_seconds

    @property
    def who(self) -> Access:
        """Who may ask: on this machine anybody, from elsewhere whoever has a token, unless the operator says."""
        if self.access is not None:
            return self.access
        return Access.OPEN if self.address.is_local or self.address.is_inherited else Access.TOKEN


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """What the process that serves takes at once, and its listeners."""

    most_in_hand: int = 256
    spool_mb: int = 10240
    stop_seconds: float = 30.0
    listeners: tuple[ListenerConfig, ...] = field(default=())


_ONLY_HTTP = {"access", "lookups_per_minute", "certificate_file", "key_file", "client_ca_file"}
_ONLY_UNIX = {"socket_mode", "socket_group", "socket_users"}


def checked_listener(values: dict[str, Any]) -> ListenerConfig:
    """The listener that a table's values say. Raises ConfigError."""
    for required in ("kind", "address"):
        if required not in values:
            raise ConfigError(f"serve.listener.{required} is missing from a [[serve.listener]]")
    values.setdefault("name", values["kind"].value)
    foreign = values.keys() & (() if values["kind"] is DoorKind.HTTP else _ONLY_HTTP)
    if foreign:
        raise ConfigError(f"serve.listener.{min(foreign)} means nothing for a listener of kind {values['kind'].value}")
    foreign = values.keys() & (() if values["address"].path else _ONLY_UNIX)
    if foreign:
        raise ConfigError(f"serve.listener.{min(foreign)} means something for a Unix socket alone")
    made = ListenerConfig(**values)
    if (made.certificate_file is None) != (made.key_file is None):
        raise ConfigError("serve.listener.certificate_file and key_file go together")
    if made.client_ca_file is not None and made.certificate_file is None:
        raise ConfigError("serve.listener.client_ca_file needs certificate_file and key_file")
    if made.access is Access.CERTIFICATE and made.client_ca_file is None:
        raise ConfigError('serve.listener.access "certificate" needs client_ca_file')
    if made.kind is not DoorKind.HTTP and not made.address.is_local and not made.address.is_inherited:
        made = _reachable(made)
    return made


def _reachable(made: ListenerConfig) -> ListenerConfig:
    """A door whose protocol knows no login, open to other machines: nothing on disk may be asked for there."""
    if made.roots:
        raise ConfigError("serve.listener.roots are for listeners on this machine: others could ask for any file there")
    return made


def checked_listeners(listeners: tuple[ListenerConfig, ...]) -> tuple[ListenerConfig, ...]:
    """The same, where they can stand side by side. Raises ConfigError."""
    if len({one.name for one in listeners}) < len(listeners):
        raise ConfigError("two listeners have one name: set serve.listener.name")
    fixed = [one.address for one in listeners if one.address.path or one.address.port]
    if len(set(fixed)) < len(fixed):
        raise ConfigError("two listeners have one address")
    return listeners

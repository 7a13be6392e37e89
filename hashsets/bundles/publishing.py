"""Writing a signed bundle: keys, the list, and the four roles' metadata.

Rules
- Two keys, ed25519, in a folder for their owner alone: `root.pem` vouches for the other and may be taken off the
  machine once the first bundle is made; `online.pem` signs every list and its freshness.
- The list is written first and the timestamp last, each by one rename: whoever reads meanwhile has the old one whole.
- What is signed expires: a subscriber whose bundle is kept from it is told, by the clock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from hashsets.bundles import LIST_NAME, METADATA, TARGETS
from hashsets.errors import StoreError, UsageError
from hashsets.types import Entry, Shape

ROOT_LIFE = timedelta(days=5 * 365)  # the one that people carry to subscribers by hand
_ROOT_KEY, _ONLINE_KEY = "root.pem", "online.pem"
_PRIVATE, _PUBLIC = 0o600, 0o666  # the second less the umask: a web server may be to read it


@dataclass(frozen=True, slots=True)
class Published:
    """A bundle as it stands: its version, its entries, and whether the list differs from the one before."""

    version: int
    entries: int
    changed: bool


def publish(folder: Path, keys: Path, entries: Iterable[Entry], *, now: datetime, life: timedelta) -> Published:
    """Write the next version of a bundle. Raises UsageError for a folder of other keys, StoreError for a full disk."""
    try:
        return _publish(folder, keys, entries, now.replace(microsecond=0), life)
    except (RepositoryError, ValueError) as error:
        raise UsageError("the folder or its keys are not those of a bundle: name another folder") from error
    except OSError as error:
        raise StoreError(
            f"the bundle cannot be written ({os.strerror(error.errno or 0)}): check the folder and its room"
        ) from error


def _publish(folder: Path, keys: Path, entries: Iterable[Entry], now: datetime, life: timedelta) -> Published:
    metadata, targets = folder / METADATA, folder / TARGETS
    for each in (metadata, targets):
        each.mkdir(parents=True, exist_ok=True)
    online = _key(keys, _ONLINE_KEY)
    _settle_root(metadata, keys, online, now)
    partial, count = _written_list(targets, entries)
    found = TargetFile.from_file(LIST_NAME, str(partial), ["sha256"])
    name = f"{found.hashes['sha256']}.{LIST_NAME}"
    os.replace(partial, targets / name)
    before = Metadata[Timestamp].from_file(str(metadata / "timestamp.json")) if _is_there(metadata) else None
    version = 1 if before is None else before.signed.version + 1
    old = None if before is None else Metadata[Targets].from_file(str(metadata / f"{version - 1}.targets.json"))
    changed = old is None or old.signed.targets[LIST_NAME].hashes != found.hashes
    expires = now + life
    _sign(metadata / f"{version}.targets.json", Targets(version, expires=expires, targets={LIST_NAME: found}), online)
    meta = {"targets.json": MetaFile(version)}
    _sign(metadata / f"{version}.snapshot.json", Snapshot(version, expires=expires, meta=meta), online)
    _sign(metadata / "timestamp.json", Timestamp(version, expires=expires, snapshot_meta=MetaFile(version)), online)
    _tidy(metadata, targets, version, name)
    return Published(version, count, changed)


def _is_there(metadata: Path) -> bool:
    return (metadata / "timestamp.json").exists()


def _settle_root(metadata: Path, keys: Path, online: CryptoSigner, now: datetime) -> None:
    """Make the root of a new bundle, or check that it vouches for our key."""
    roots = sorted(metadata.glob("*.root.json"), key=lambda path: int(path.name.split(".")[0]))
    if roots:
        root = Metadata[Root].from_file(str(roots[-1])).signed
        if any(online.public_key.keyid not in root.roles[role].keyids for role in _ONLINE_ROLES):
            raise ValueError
        return
    signer = _key(keys, _ROOT_KEY)
    made = Root(1, expires=now + ROOT_LIFE, consistent_snapshot=True)
    made.add_key(signer.public_key, Root.type)
    for role in _ONLINE_ROLES:
        made.add_key(online.public_key, role)
    _sign(metadata / "1.root.json", made, signer)


_ONLINE_ROLES = (Targets.type, Snapshot.type, Timestamp.type)


def _key(keys: Path, name: str) -> CryptoSigner:
    """A key of ours, made when it is not there. Nobody but its owner may read it."""
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = keys / name
    if path.exists():
        private = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError
        return CryptoSigner(private)
    signer = CryptoSigner.generate_ed25519()
    _replace(path, signer.private_bytes, _PRIVATE)
    return signer


def _written_list(targets: Path, entries: Iterable[Entry]) -> tuple[Path, int]:
    """The list under a passing name, and its entries."""
    partial = targets / ".partial"
    count = 0
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, _PUBLIC), "wb") as file:
        for entry in entries:
            count += 1
            file.write(_line(entry))
        file.flush()
        os.fsync(file.fileno())
    if not count:
        partial.unlink()
        raise UsageError("the hash set lists nothing: there is nothing to publish")
    return partial, count


def _line(entry: Entry) -> bytes:
    """An entry with its ref, so that reports of all subscribers name it alike."""
    assert entry.ref is not None  # what the store lists has one
    said = {
        "ref": entry.ref,
        "shape": "frames" if entry.shape is Shape.FRAMES else "item",
        "signals": [
            {"type": signal.hash_type, "value": signal.value.hex()}
            | {name: number for name, number in (("quality", signal.quality), ("frame", signal.frame),
                                                 ("ms", signal.frame_ms)) if number is not None}
            for signal in entry.signals
        ],
        "classifications": [{"scheme": mark.scheme, "code": mark.code} for mark in entry.classifications],
    }  # fmt: skip
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _sign(path: Path, signed: Root | Targets | Snapshot | Timestamp, signer: CryptoSigner) -> None:
    document: Metadata[Any] = Metadata(signed)
    document.sign(signer)
    _replace(path, document.to_bytes(), _PUBLIC)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """There whole or not at all, after any crash."""
    partial = path.with_name(f".{path.name}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _tidy(metadata: Path, targets: Path, version: int, name: str) -> None:
    """Forget lists and metadata older than the version before, which somebody may be reading just now."""
    for kind in ("targets", "snapshot"):
        for path in metadata.glob(f"*.{kind}.json"):
            if path.name.split(".")[0].isdigit() and int(path.name.split(".")[0]) < version - 1:
                path.unlink()
    named = {name}
    before = metadata / f"{version - 1}.targets.json"
    if before.exists():
        named.add(f"{Metadata[Targets].from_file(str(before)).signed.targets[LIST_NAME].hashes['sha256']}.{LIST_NAME}")
    for path in targets.glob(f"*.{LIST_NAME}"):
        if path.name not in named:
            path.unlink()

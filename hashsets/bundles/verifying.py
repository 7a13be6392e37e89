"""Believing a signed bundle: what is taken was signed by whom the root names, is newer than before, has not expired.

Every attack of The Update Framework's list ends in a SourceError in words of our own; the list stays as it was. What
was believed before is the checkpoint: it is kept with the version it brought into force, so the two cannot part.

The time is the machine's: the library asks it itself.
"""

from __future__ import annotations

import base64
import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tuf.api import exceptions
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from hashsets.bundles import LIST_NAME, METADATA, TARGETS
from hashsets.errors import SourceError

# A list of ten million is one target: its metadata are a few kilobytes, whatever the list.
MOST_METADATA_BYTES = 256 * 1024
_BASE = "bundle:"
_MOST_CHECKPOINT_FILES = 300

Fetch = Callable[[str], Iterator[bytes]]
"""The content at a path of the bundle; raises `NotThere`, or SourceError."""


class NotThere(SourceError):
    """There is nothing at that path."""


class _Fetcher(FetcherInterface):
    """The library's view of wherever the bundle lies. Our own errors pass through it."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch_path = fetch
        self.failure: SourceError | None = None

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield from self._fetch_path(url.removeprefix(_BASE))
        except NotThere as error:
            raise exceptions.DownloadHTTPError("not there", 404) from error
        except SourceError as error:
            self.failure = error
            raise exceptions.DownloadError("failed") from error


class Bundle:
    """A bundle as it is offered now, believed from `root` (the metadata that was carried here by hand) on."""

    def __init__(self, root: bytes, fetch: Fetch, checkpoint: bytes | None, folder: Path, most_bytes: int) -> None:
        logging.getLogger("tuf").setLevel(logging.CRITICAL)  # it tells addresses
        self._metadata, self._targets = folder / METADATA, folder / TARGETS
        self._metadata.mkdir()
        self._targets.mkdir()
        known = _unpacked(checkpoint)
        for name, content in known.items():
            path = self._metadata / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        self._fetcher = _Fetcher(fetch)
        with self._believing():
            limits = UpdaterConfig(
                root_max_length=MOST_METADATA_BYTES, timestamp_max_length=MOST_METADATA_BYTES,
                snapshot_max_length=MOST_METADATA_BYTES, targets_max_length=MOST_METADATA_BYTES,
            )  # fmt: skip
            self._updater = Updater(
                str(self._metadata), f"{_BASE}/{METADATA}/", str(self._targets), f"{_BASE}/{TARGETS}/",
                self._fetcher, limits, bootstrap=root,
            )  # fmt: skip
            before = known.get("list.sha256", b"").decode(errors="replace")
            self._updater.refresh()
            found = self._updater.get_targetinfo(LIST_NAME)
        if found is None:
            raise SourceError("the bundle holds no list: it is another's, or of a newer hashward")
        if found.length > most_bytes:
            raise SourceError(f"the bundle's list is longer than {most_bytes} bytes: it was not taken")
        self._found = found
        self.digest = found.hashes.get("sha256", "")
        self.changed = self.digest != before

    def download(self) -> Path:
        """The list, its length and digest as signed. Raises SourceError."""
        with self._believing():
            return Path(self._updater.download_target(self._found, str(self._targets / LIST_NAME)))

    def checkpoint(self) -> bytes:
        """All that is believed now, and which list it names."""
        files = {
            str(path.relative_to(self._metadata)): path.read_bytes()
            for path in sorted(self._metadata.rglob("*.json"))
            if not path.is_symlink()
        }
        files["list.sha256"] = self.digest.encode()
        return json.dumps({name: base64.b64encode(content).decode() for name, content in files.items()}).encode()

    @contextmanager
    def _believing(self) -> Iterator[None]:
        try:
            yield
        except exceptions.ExpiredMetadataError:
            raise SourceError("the bundle has expired: its publisher is silent, or it is kept from us") from None
        except exceptions.UnsignedMetadataError:
            raise SourceError("the bundle is not signed by the keys that its root names") from None
        except exceptions.BadVersionNumberError:
            raise SourceError("the bundle is older than the one we have, or mixed of several") from None
        except exceptions.LengthOrHashMismatchError:
            raise SourceError("the bundle is mixed of several, or was changed on the way") from None
        except exceptions.DownloadLengthMismatchError:
            raise SourceError("the bundle sends more than it says: it was not taken") from None
        except exceptions.DownloadHTTPError:
            raise SourceError("a part of the bundle is not there: check its address") from None
        except exceptions.DownloadError as error:
            raise (self._fetcher.failure or SourceError("the bundle cannot be fetched")) from error
        except (exceptions.RepositoryError, ValueError) as error:
            raise SourceError("the bundle cannot be read as one: check its address and its root") from error


def _unpacked(checkpoint: bytes | None) -> dict[str, bytes]:
    """The files of a checkpoint of ours; of another's nothing, so that all is fetched anew."""
    if checkpoint is None:
        return {}
    try:
        known = {str(name): base64.b64decode(content) for name, content in json.loads(checkpoint).items()}
    except (ValueError, AttributeError, TypeError):
        raise SourceError("the checkpoint is not one of this source: was the hash set another's before?") from None
    if len(known) > _MOST_CHECKPOINT_FILES or any(".." in name or name.startswith("/") for name in known):
        raise SourceError("the checkpoint is not one of this source: was the hash set another's before?")
    return known


@contextmanager
def opened(root: bytes, fetch: Fetch, checkpoint: bytes | None, most_bytes: int) -> Iterator[Bundle]:
    """A bundle, looked at in a folder that goes afterwards. Raises SourceError."""
    with tempfile.TemporaryDirectory() as folder:
        yield Bundle(root, fetch, checkpoint, Path(folder), most_bytes)

"""Objects of the configured S3 endpoint, streamed to the intake. The only importer of botocore (`hashward[s3]`).

Rules
- One endpoint and a list of buckets, both of the configuration: nothing that a message says chooses a host.
- An object is read in pieces by one thread while the loop takes them; never more than the listener takes.
- Shorter than the event or the store itself says: cut. Gone: nothing to judge. Unreachable: owed, asked again.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from scanner.doors.answers import Answer, OverLimit, Verdict, undecidable
from scanner.doors.intake import Intake, Upload
from scanner.doors.rules import DoorRules
from scanner.errors import ConfigError
from scanner.s3_config import S3Config
from scanner.types import Reason

PIECE_BYTES: Final = 256 * 1024
CONNECT_S, READ_S = 5.0, 20.0
_GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NoSuchBucket", "MethodNotAllowed"})


class Gone(Exception):
    """There is no such object."""


class Unreadable(Exception):
    """The store cannot be reached, or refuses."""


@dataclass(frozen=True, slots=True)
class Found:
    """An open object: its size, its eTag, and its bytes."""

    size: int
    etag: str
    stream: Any


def client_of(config: S3Config, service: str, endpoint: str | None) -> Any:
    """A client of S3 or SQS. Raises ConfigError where the extra is not installed."""
    try:
        from botocore.config import Config
    except ModuleNotFoundError:
        raise ConfigError("[s3] needs botocore: pip install botocore") from None
    key_id, secret = config.keys()
    return _session().create_client(
        service,
        region_name=config.region,
        endpoint_url=endpoint,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S if service == "s3" else READ_S + 20,  # a queue holds its answer for up to 20 s
            retries={"total_max_attempts": 2},
            s3={"addressing_style": "path"} if config.path_style else {},
            proxies={},
        ),
    )


@functools.cache
def _session() -> Any:
    """One for the process: it keeps the descriptions of services, megabytes of JSON."""
    import botocore.session

    return botocore.session.Session()


class Objects:
    """See the module."""

    def __init__(self, config: S3Config, intake: Intake) -> None:
        self._config = config
        self._intake = intake
        self._client = client_of(config, "s3", config.endpoint)

    def may_ask(self, bucket: str) -> bool:
        """Whether a bucket is one of the configuration's."""
        return bucket in self._config.buckets

    async def judge(
        self,
        rules: DoorRules,
        bucket: str,
        key: str,
        *,
        ref: bytes | None,
        version: str | None = None,
        size: int | None = None,
        etag: str | None = None,
    ) -> tuple[Answer, bool]:
        """The answer to one object, and whether all of its bytes came. Raises Gone: there is none, or another."""
        if not self.may_ask(bucket):
            return undecidable(Reason.PERMISSION), False
        try:
            async with asyncio.timeout(rules.deadline_s):
                found = await asyncio.to_thread(self._open, bucket, key, version)
                try:
                    if etag is not None and size is not None and (found.etag, found.size) != (etag, size):
                        raise Gone  # the key means another object, or it has been overwritten: that has its own event
                    return await self._stream(rules, found, ref, size)
                finally:
                    await asyncio.to_thread(found.stream.close)
        except Unreadable:
            return undecidable(Reason.IO), False
        except TimeoutError:
            return undecidable(Reason.TIMEOUT), False

    async def _stream(self, rules: DoorRules, found: Found, ref: bytes | None, size: int | None) -> tuple[Answer, bool]:
        upload = self._intake.begin(replace(rules, whole_files=True), ref, max(found.size, size or 0))
        try:
            cut = await self._fill(upload, found)
        except BaseException:
            upload.abort()
            raise
        whole = not cut and upload.received_bytes >= (size or 0)
        answer = await upload.finish(cut=cut)
        return (Answer(Verdict.CLEAR) if found.size == 0 and whole else answer), whole

    async def _fill(self, upload: Upload, found: Found) -> bool:
        """Hand the bytes over; whether they broke off."""
        try:
            while piece := await asyncio.to_thread(_read, found.stream):
                await upload.write(piece)
        except OverLimit:
            return False
        except Unreadable:
            return True
        return upload.received_bytes < found.size

    def _open(self, bucket: str, key: str, version: str | None) -> Found:
        from botocore.exceptions import BotoCoreError, ClientError

        which = {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})
        try:
            said = self._client.get_object(**which)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _GONE:
                raise Gone from None
            raise Unreadable from None
        except (BotoCoreError, ValueError, UnicodeError):
            raise Unreadable from None
        return Found(int(said["ContentLength"]), str(said.get("ETag", "")).strip('"').lower(), said["Body"])

    async def holds(self, bucket: str, keys: Sequence[str], version: str | None) -> bool:
        """Whether an object is (still, or again) there. Raises Unreadable."""
        for key in keys:
            try:
                found = await asyncio.to_thread(self._open, bucket, key, version)
            except Gone:
                continue
            await asyncio.to_thread(found.stream.close)
            return True
        return False


def _read(stream: Any) -> bytes:
    from botocore.exceptions import BotoCoreError, HTTPClientError, IncompleteReadError

    try:
        return bytes(stream.read(PIECE_BYTES))
    except (BotoCoreError, HTTPClientError, IncompleteReadError, OSError):
        raise Unreadable from None

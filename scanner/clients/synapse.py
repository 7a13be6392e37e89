"""A module for Matrix Synapse: media is judged before it is kept, local and remote.

    modules:
      - module: scanner.clients.synapse.HashwardModule
        config: {address: "unix:/run/hashward/http.sock"}

Rules
- Thumbnails are made here from what was judged, so they are not judged again.
- Synapse runs on Twisted: the verdict is waited for in a thread of its pool.
- A match, and what cannot be judged, is refused as bad content (400). While hashward cannot be reached an exception
  refuses the upload (500) and stands in Synapse's log; with `allow_undecidable` it is let pass.
"""

from __future__ import annotations

from typing import Any

from synapse.module_api import NOT_SPAM, ModuleApi
from synapse.module_api.errors import Codes, ConfigError

from scanner.clients.door import UNREACHABLE, Door, Verdict, pieces_of

_SETTINGS = {"address", "token", "token_file", "timeout_s", "allow_undecidable"}


class HashwardUnreachable(Exception):
    """hashward did not answer: the upload is refused, and may be sent again."""


class HashwardModule:
    """See the module."""

    def __init__(self, config: Door, api: ModuleApi) -> None:
        self._door = config
        self._api = api
        api.register_spam_checker_callbacks(check_media_file_for_spam=self.check_media_file_for_spam)

    @staticmethod
    def parse_config(config: dict[str, Any]) -> Door:
        """The door that the module's configuration names. Raises ConfigError."""
        unknown = config.keys() - _SETTINGS
        if unknown:
            raise ConfigError(f"hashward: no such setting; there are {', '.join(sorted(_SETTINGS))}")
        said = dict(config)
        token_file = said.pop("token_file", None)
        try:
            if token_file is not None:
                with open(token_file, encoding="ascii") as file:
                    said["token"] = file.read().strip()
            return Door(**said)
        except (OSError, ValueError, TypeError) as exc:
            raise ConfigError(f"hashward: the configuration cannot be used ({type(exc).__name__})") from None

    async def check_media_file_for_spam(self, file_wrapper: Any, file_info: Any) -> Any:
        """Synapse's callback: NOT_SPAM, or the code with which the media is refused."""
        if file_info.thumbnail:
            return NOT_SPAM
        server = file_info.server_name or self._api.server_name
        ref = f"{server}/{file_info.file_id}".encode()[:512]
        verdict = await self._api.defer_to_thread(_judge, self._door, file_wrapper.path, ref)
        if self._door.allows(verdict):
            return NOT_SPAM
        if verdict == UNREACHABLE or (verdict.reason or "").startswith("http_"):
            raise HashwardUnreachable(f"hashward gave no verdict ({verdict.reason}); the upload was refused")
        return Codes.FORBIDDEN


def _judge(door: Door, path: str, ref: bytes) -> Verdict:
    try:
        with open(path, "rb") as file:
            return door.scan(pieces_of(file), ref=ref)
    except OSError:
        return UNREACHABLE

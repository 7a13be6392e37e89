"""Who may ask an http listener for what: bearer tokens with scopes, in every place where real clients can put one.

Rules
- Where a token is asked for, nothing of a body is read before it is seen to be good.
- Lookups and outcomes of cases always need a token with their scope: whoever may ask what is listed, or say what people
  found, has to be told apart.
"""

from __future__ import annotations

import base64
import binascii

from scanner.clock import Clock
from scanner.ledger.tokens import Tokens
from scanner.serve_config import Access

_MOST_BYTES = 512


class Gate:
    """Decides about requests by their Authorization header, or by a token in the path."""

    def __init__(self, tokens: Tokens, clock: Clock, access: Access) -> None:
        self._tokens = tokens
        self._clock = clock
        self._access = access

    def allows(self, scope: str, authorization: bytes | None, in_path: str | None = None) -> bool:
        """Whether whoever shows this may do what `scope` names. Raises StoreError."""
        if self._access is not Access.TOKEN and scope not in ("lookup", "cases"):
            return True
        return any(self._holds(token, scope) for token in (_token(authorization), (in_path or "").encode()) if token)

    def holder(self, authorization: bytes | None) -> bytes:
        """What tells one asker from another, where each has a bound of its own."""
        return _token(authorization)

    def _holds(self, token: bytes, scope: str) -> bool:
        if len(token) > _MOST_BYTES:
            return False
        scopes = self._tokens.scopes(token, self._clock.now_ns())
        return scopes is not None and scope in scopes


def _token(authorization: bytes | None) -> bytes:
    """The token of a header: Bearer's, or the password of Basic, which is what some clients can send."""
    scheme, _, value = (authorization or b"").strip().partition(b" ")
    value = value.strip()
    if scheme.lower() == b"bearer":
        return value
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""

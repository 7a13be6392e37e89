"""What ICAP clients are told, as bytes: options, verdicts, errors, and the head of an echo.

Rules
- Every reply carries the ISTag, which changes with the catalogue: proxies then drop the verdicts they keep.
- What was cut, was too long, came before the lists were loaded or cannot be recorded never passes, whatever the
  listener's rule.
- People see the block page: it holds the opaque name and nothing else.
"""

from __future__ import annotations

from typing import Final

from scanner.doors.answers import NEVER_PASSES, UNDECIDABLE_NAME, Answer, Undecided, Verdict
from scanner.doors.icap_wire import LAST_CHUNK, Sections, chunk
from scanner.doors.rules import DoorRules
from scanner.types import Reason

_PHRASES: Final = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    404: "Service Not Found",
    405: "Method Not Allowed For Service",
    408: "Request Timeout",
    500: "Server Error",
    501: "Method Not Implemented",
    503: "Service Overloaded",
    505: "ICAP Version Not Supported",
}
CONTINUE: Final = b"ICAP/1.0 100 Continue\r\n\r\n"
# By these a platform tells what nobody can scan from a scanner's failure, and has a switch of its own for it.
_ERROR_CODES: Final = {
    Reason.ENCRYPTED: "password_protected",
    Reason.NESTED: "max_archive_layers_exceeded",
    Reason.UNDECODABLE: "decode_error",
    Reason.UNOPENED: "decode_error",
}
_LATER: Final = frozenset((Undecided.BUSY, Undecided.NOT_READY))

# The names services have in the documentation of platforms and of other scanners. By the RFC a service has one method;
# those without a suffix take both, as platforms name one service for both.
SERVICES: Final = {
    **dict.fromkeys(("avscan", "hashward", "scan", "virus_scan", "srv_clamav", "squidclamav"), ("RESPMOD", "REQMOD")),
    **dict.fromkeys(("avscan_req", "reqmod", "request"), ("REQMOD",)),
    **dict.fromkeys(("avscan_resp", "respmod", "response"), ("RESPMOD",)),
}
PREVIEW_BYTES: Final = 1024
_OPTIONS_TTL_S: Final = 60
# Not asked for of a service for replies alone: a preview settles nothing here, and squid before its fix of bug 5352
# (5.7 and 6.x among them) stalls on replies over 64 KiB once it has sent one.
_PREVIEW: Final = (f"Preview: {PREVIEW_BYTES}", "Transfer-Preview: *")


def istag(catalogue: int) -> str:
    """At most 32 bytes."""
    return f'"hashward-{catalogue}"'


def status(code: int, tag: str, *fields: str, close: bool = False) -> bytes:
    """A reply without anything encapsulated."""
    ends = ("Connection: close",) if close else ()
    lines = (f"ICAP/1.0 {code} {_PHRASES[code]}", f"ISTag: {tag}", *fields, *ends, "Encapsulated: null-body=0")
    return "\r\n".join((*lines, "", "")).encode()


def options(service: str, tag: str, most: int, *, close: bool) -> bytes:
    """What the service does and how it wants to be asked."""
    fields = (
        f"Methods: {', '.join(SERVICES[service])}",
        "Service: hashward",
        "Service-ID: hashward",
        f"Max-Connections: {most}",
        f"Options-TTL: {_OPTIONS_TTL_S}",
        "Allow: 204",
        *(_PREVIEW if "REQMOD" in SERVICES[service] else ()),
    )
    return status(200, tag, *fields, close=close)


def passes(answer: Answer, rules: DoorRules) -> bool:
    """Whether what was sent goes on unchanged."""
    if answer.verdict is not Verdict.UNDECIDABLE:
        return answer.verdict is not Verdict.MATCHED
    return rules.on_undecidable == "ok" and answer.reason not in NEVER_PASSES


def refusal(answer: Answer, rules: DoorRules, tag: str, *, close: bool) -> bytes:
    """The reply to what does not pass: a page in its place, or an error, on which the client decides."""
    if answer.verdict is Verdict.MATCHED:
        return _page(answer.name, tag, close=close)
    if rules.on_undecidable == "found":
        return _page(UNDECIDABLE_NAME, tag, close=close)
    reason = answer.reason or ""
    code = next((code for known, code in _ERROR_CODES.items() if known == reason), None)
    fields = () if code is None else (f"X-Error-Code: {code}",)
    return status(503 if reason in _LATER else 500, tag, *fields, close=close)


def _page(name: str, tag: str, *, close: bool) -> bytes:
    body = f"blocked\n{name}\n".encode()
    page = f"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    lines = [
        "ICAP/1.0 200 OK",
        f"ISTag: {tag}",
        f"X-Infection-Found: Type=0; Resolution=2; Threat={name};",
        f"X-Virus-ID: {name}",
        *(("Connection: close",) if close else ()),
        f"Encapsulated: res-hdr=0, res-body={len(page)}",
    ]
    return "\r\n".join((*lines, "", "")).encode() + page + chunk(body) + LAST_CHUNK


def echo_head(heads: dict[str, bytes], sections: Sections, tag: str, *, close: bool) -> bytes:
    """The beginning of a reply that gives back what came: the head that belongs to the body, as it was sent."""
    kind = "res-hdr" if sections.body_name == "res-body" or "res-hdr" in heads else "req-hdr"
    head = heads.get(kind, b"")
    listed = [f"{kind}=0"] if head else []
    listed.append(f"{sections.body_name}={len(head)}")
    lines = [
        "ICAP/1.0 200 OK",
        f"ISTag: {tag}",
        *(("Connection: close",) if close else ()),
        f"Encapsulated: {', '.join(listed)}",
    ]
    return "\r\n".join((*lines, "", "")).encode() + head

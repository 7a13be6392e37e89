"""Words planted wherever somebody's name could stand, searched for in all that leaves, is logged or is left behind.

One real serving process and every command of a scan's life; then every byte that was printed, answered, measured, sent
or left in a file is searched. Only the ledger's own database knows locations (`hashward case open` is the way to one).
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import socket
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from scanner.selftest import picture, ppm
from tests.command import Hashward
from tests.scanner.doors.served import Served, served

PLACES = (
    "root-folder", "folder", "file-name", "undecodable-name", "link-name", "link-target", "fifo-name", "exif",
    "comment", "png-text", "attribute", "zip-member", "zip-comment", "tar-owner", "text-content", "list-name",
    "list-line",
    "config-value", "user", "ref", "form-file-name", "form-field", "user-agent", "forwarded-for", "cookie", "referer",
    "query", "token", "url-path", "tus-metadata", "s3-key", "clamd-path", "clamd-command", "icap-url", "icap-client",
    "icap-user", "shield-name",
)  # fmt: skip
CONFIG = """
[[serve.listener]]
kind = "http"
address = "127.0.0.1:0"
deadline_seconds = 60

[[serve.listener]]
kind = "clamd"
address = "127.0.0.1:0"
deadline_seconds = 60

[[serve.listener]]
kind = "icap"
address = "127.0.0.1:0"

[[sink]]
name = "provider"
kind = "jsonl"
path = "sent"
hash_sets = ["set"]
"""


def canary(place: str) -> str:
    """The word planted in a place."""
    assert place in PLACES
    return f"canary{zlib.crc32(place.encode()):08x}"


@dataclass
class Collected:
    """Everything that came out, by what it came out of."""

    pieces: dict[str, bytes] = field(default_factory=dict)

    def add(self, what: str, said: bytes | str) -> None:
        """Keep a piece."""
        data = said.encode(errors="surrogateescape") if isinstance(said, str) else said
        self.pieces[what] = self.pieces.get(what, b"") + data

    def add_tree(self, what: str, folder: Path, *, but: str = "") -> None:
        """Keep every file below a folder, and its name."""
        for file in folder.rglob("*"):
            if but and re.match(but, file.name):
                continue
            self.add(f"{what} names", f"{file.relative_to(folder)}\n")
            if file.is_file() and not file.is_symlink():
                self.add(f"{what} {file.name[-40:]}", file.read_bytes())

    def found(self) -> dict[str, list[str]]:
        """Which words show where, as they are or in base64 or hexadecimal."""
        return {
            place: where
            for place in PLACES
            if (where := [what for what, said in self.pieces.items() if any(form in said for form in forms(place))])
        }


def forms(place: str) -> Iterator[bytes]:
    """How a word could show."""
    word = canary(place).encode()
    yield word
    yield word.hex().encode()
    for shift in range(3):  # base64 at any of its three alignments, without the letters its neighbours have a part in
        yield base64.b64encode(b"\0" * shift + word)[4 if shift else 0 : -4]


def jpeg_with(exif: str, comment: str) -> bytes:
    """A picture with a word in its EXIF and one in a comment."""
    from PIL import Image

    out = io.BytesIO()
    tags = Image.Exif()
    tags[0x010E] = tags[0x013B] = exif
    Image.fromarray(picture()).save(out, "JPEG", exif=tags, comment=comment.encode())
    return out.getvalue()


def png_with(text: str) -> bytes:
    """A picture with a word in a text chunk."""
    from PIL import Image, PngImagePlugin

    out, notes = io.BytesIO(), PngImagePlugin.PngInfo()
    notes.add_text("Author", text)
    Image.fromarray(picture()[::-1].copy()).save(out, "PNG", pnginfo=notes)
    return out.getvalue()


def archive() -> bytes:
    """A zip with words in a member's name and in its comment."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(f"{canary('zip-member')}.ppm", ppm(picture()))
        made.comment = canary("zip-comment").encode()
    return out.getvalue()


def tape() -> bytes:
    """A tar whose member belongs to somebody."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        member = tarfile.TarInfo("picture.ppm")
        member.uname, member.size = canary("tar-owner"), len(ppm(picture()))
        made.addfile(member, io.BytesIO(ppm(picture())))
    return out.getvalue()


def plant(folder: Path) -> Path:
    """A tree with a word in everything a file has beside its pixels; the root."""
    root = folder / canary("root-folder")
    below = root / canary("folder")
    below.mkdir(parents=True)
    (below / f"{canary('file-name')}.jpg").write_bytes(jpeg_with(canary("exif"), canary("comment")))
    (root / "picture.png").write_bytes(png_with(canary("png-text")))
    (root / "picture.zip").write_bytes(archive())
    (root / "picture.tar").write_bytes(tape())
    (root / "text.txt").write_text(canary("text-content"))
    Path(os.fsdecode(os.fsencode(root) + b"/\xff" + canary("undecodable-name").encode())).write_bytes(ppm(picture()))
    (root / canary("link-name")).symlink_to(canary("link-target"))
    os.mkfifo(root / canary("fifo-name"))
    with contextlib.suppress(OSError):  # where the file system has no attributes
        os.setxattr(root / "picture.png", "user.note", canary("attribute").encode())
    (root / "torn.jpg").write_bytes(jpeg_with(canary("exif"), canary("comment"))[:-300])
    return root


def ask_http(door: Served, out: Collected) -> None:
    """Every face of the http listener, with words in all that a caller says of itself."""
    headers = {
        "User-Agent": canary("user-agent"),
        "X-Forwarded-For": canary("forwarded-for"),
        "Cookie": f"session={canary('cookie')}",
        "Referer": f"http://host/{canary('referer')}",
        "Authorization": f"Bearer {canary('token')}",
    }
    jpeg = jpeg_with(canary("exif"), canary("comment"))
    named = {"file": (f"{canary('form-file-name')}.jpg", jpeg, "image/jpeg")}
    hook = {
        "Type": "post-finish",
        "Event": {
            "Upload": {"ID": "1", "MetaData": {"filename": canary("tus-metadata")}, "Storage": {"Path": "/none"}}
        },
    }
    event = {"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": {"object": {"key": canary("s3-key")}}}]}
    calls: list[tuple[str, str, dict[str, object]]] = [
        (
            "POST",
            f"/v1/scan?q={canary('query')}",
            {"content": ppm(picture()), "headers": {"Hashward-Ref": canary("ref")}},
        ),
        ("POST", "/v1/scan", {"files": named, "data": {"who": canary("form-field")}}),
        ("POST", "/v1/scan", {"content": jpeg[:-300]}),
        ("POST", "/v1/requests", {"files": named}),
        ("POST", "/pict-rs", {"content": jpeg}),
        ("POST", "/h/hash", {"files": {"photo": named["file"]}}),
        ("POST", "/v1/media/", {"content": jpeg, "headers": {"X-Name": canary("shield-name")}}),
        ("POST", "/v1/tus", {"json": hook}),
        ("POST", "/v1/s3", {"json": event}),
        ("GET", f"/{canary('url-path')}", {}),
        ("DELETE", f"/v1/assets/{canary('ref')}-unknown", {}),
        ("GET", "/metrics", {}),
        ("GET", "/healthz", {}),
        ("GET", "/openapi.json", {}),
    ]
    with httpx.Client(base_url=door.url(), timeout=60, headers=headers) as client:
        for method, path, how in calls:
            reply = client.request(method, path, **how)  # type: ignore[arg-type]
            out.add(f"{method} {path[:9]} answer", f"{reply.headers}\n{reply.text}")


def ask_raw(door: Served, listener: str, sent: bytes) -> bytes:
    """Bytes to a listener; what came back before it ended the connection or fell silent."""
    with socket.create_connection(("127.0.0.1", door.ports[listener]), timeout=60) as asking:
        asking.sendall(sent)
        asking.shutdown(socket.SHUT_WR)
        said = b""
        while piece := asking.recv(65536):
            said += piece
    return said


def ask_others(door: Served, out: Collected) -> None:
    """What speaks clamd and ICAP; what a caller is told of its own words is none of the search."""
    body = ppm(picture())
    ask_raw(door, "clamd", f"zSCAN /{canary('clamd-path')}\0".encode())
    out.add("clamd answer", ask_raw(door, "clamd", f"z{canary('clamd-command')}\0".encode()))
    stream = b"zINSTREAM\0" + len(body).to_bytes(4) + body + b"\0\0\0\0"
    out.add("clamd answer", ask_raw(door, "clamd", stream))
    request = f"GET http://host/{canary('icap-url')} HTTP/1.1\r\nHost: host\r\n\r\n".encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: image/x-portable-pixmap\r\n\r\n"
    head = (
        f"RESPMOD icap://host/respmod?{canary('query')} ICAP/1.0\r\nHost: host\r\n"
        f"X-Client-IP: {canary('icap-client')}\r\nX-Authenticated-User: {canary('icap-user')}\r\n"
        f"Allow: 204\r\nConnection: close\r\n"
        f"Encapsulated: req-hdr=0, res-hdr={len(request)}, res-body={len(request) + len(answer)}\r\n\r\n"
    )
    chunks = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    out.add("icap answer", ask_raw(door, "icap", head.encode() + request + answer + chunks))


def run_commands(hashward: Hashward, root: Path, out: Collected) -> dict[str, int]:
    """A scan's life, with every word in reach of every command; what each printed and how it ended."""
    listed = root.parent / canary("list-name")
    listed.write_text(f"sha256 {'0' * 63}g{canary('list-line')}\n")
    gone = root / f"not-{canary('file-name')}"
    commands = [
        ["hashset", "import", "bad", str(listed)],
        ["scan", str(root)],
        ["scan", str(root), "--json"],
        ["scan", str(gone)],
        ["scan", str(root / canary("fifo-name"))],
        ["rescan", "--json"],
        ["status", "--json"],
        ["root", "list", "--json"],
        ["reports", "list", "--json"],
        ["reports", "counts", "--json"],
        ["reports", "seal"],
        ["reports", "deliver"],
        ["hashset", "show", "set"],
        ["storage", "show"],
        ["forget", canary("ref")],
        ["forget", f"not-{canary('ref')}"],
        ["lookup", "sha256", canary("list-line")],
        ["--config", str(gone), "status"],
        [canary("url-path")],
    ]
    ended = {}
    for words in commands:
        done = hashward(*words)
        ended[" ".join(words)] = done.code
        told = done.out if words[:2] != ["root", "list"] else ""  # names roots by their folder, to whoever runs it
        out.add(f"command {' '.join(words[:2])[:16]}", told + done.err)
    return ended


def test_thirty_and_more_words_show_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, paths, metadata, owners, addresses and whatever callers send: in no report, log, metric, error or file."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for name, said in (("TMPDIR", str(scratch)), ("USER", canary("user")), ("LOGNAME", canary("user"))):
        monkeypatch.setenv(name, said)
    hashward, out = Hashward(tmp_path / "home"), Collected()
    root = plant(tmp_path / "storage")
    hashward.home.mkdir()
    (hashward.home / "config.toml").write_text(f'[report]\nsource = "{canary("config-value")} "\n')
    out.add("configuration error", hashward("status").err)
    (hashward.home / "config.toml").write_text(CONFIG)
    (tmp_path / "list").write_text("".join(f"pdq {each}\n" for each in _values(hashward, root)))
    assert 0 == hashward("hashset", "import", "set", tmp_path / "list", "--approve").code
    with served(hashward, config=CONFIG) as door:
        ask_http(door, out)
        ask_others(door, out)
        door.process.kill()  # whatever it has in a temporary file stays there
        assert door.process.stderr is not None
        out.add("serve's log", door.said + door.process.stderr.read())
    ended = run_commands(hashward, root, out)
    out.add_tree("home", hashward.home, but=r"ledger\.db|config\.toml")
    out.add_tree("temporary", scratch)

    assert {} == out.found()
    assert len(PLACES) >= 30
    assert {0, 1, 2, 4} <= set(ended.values())
    assert b"org.hashward.match" in b"".join(said for what, said in out.pieces.items() if what.endswith(".jsonl"))
    assert b"hashward_" in out.pieces["GET /metrics answer"]
    assert b"FOUND" in out.pieces["clamd answer"]


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """A word in a name, in text, in base64 or in hexadecimal is found: a search that cannot find proves nothing."""
    word = canary("user")
    for said in (word.encode(), word.encode().hex().encode(), base64.b64encode(f"xy{word}z".encode())):
        out = Collected()
        out.add("somewhere", b"before " + said + b" after")

        assert {"user": ["somewhere"]} == out.found()
    (tmp_path / word).write_bytes(b"")
    out = Collected()
    out.add_tree("folder", tmp_path)

    assert {"user": ["folder names"]} == out.found()


def _values(hashward: Hashward, root: Path) -> set[str]:
    lines = hashward("hash", "--json", root / canary("folder"), root / "picture.png").objects
    return {line["pdq"]["hex"] for line in lines}

"""From an upload to the operator's own system and back, through real processes that are killed on the way."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from scanner.clients.asgi import HashwardMiddleware
from scanner.clients.door import Door
from tests.command import Hashward
from tests.scanner.clients.test_middleware import ask
from tests.scanner.doors.served import served

REF = b"canary-ref-7f3a"
WAIT_S = 60.0


def picture(seed: int) -> bytes:
    """A small picture of nothing."""
    made = io.BytesIO()
    Image.linear_gradient("L").rotate(seed * 7).save(made, "PNG")
    return made.getvalue()


class Platform:
    """A home whose serving process tells a script; what the script heard."""

    def __init__(self, folder: Path) -> None:
        self.hashward = Hashward(folder / "home")
        self.heard_file = folder / "heard"
        self.down = folder / "down"
        script = folder / "act"
        script.write_text(f"#!/bin/sh\n[ -e {self.down} ] && exit 1\ncat >>{self.heard_file}\n")
        script.chmod(0o700)
        self.config = (
            f'[scan]\nworkers = 1\n[actions]\ncommand = ["{script}"]\n'
            f'[[serve.listener]]\nkind = "http"\naddress = "127.0.0.1:0"\n'
        )

    def heard(self) -> list[tuple[str, str]]:
        """(verb, ref) of everything it was told."""
        text = self.heard_file.read_text() if self.heard_file.exists() else ""
        return [(said["verb"], said["ref"]) for said in map(json.loads, text.splitlines())]

    def awaits(self, count: int) -> list[tuple[str, str]]:
        """The same, once it was told so often."""
        until(lambda: len(self.heard()) >= count)
        return self.heard()

    def list_it(self, content: bytes, name: str = "set") -> None:
        """A list that names a content, imported and met by a re-scan."""
        (self.hashward.home / "list.txt").write_text(hashlib.sha256(content).hexdigest() + "\n")
        list_ = self.hashward.home / "list.txt"
        assert self.hashward.real("hashset", "import", name, list_, "--type", "sha256", "--approve").code == 0
        assert self.hashward.real("hashset", "approve", name).code == 0
        assert self.hashward.real("rescan").code == 0


def until(true: Callable[[], Any]) -> None:
    """Wait for something that other processes do."""
    end = time.monotonic() + WAIT_S
    while not true() and time.monotonic() < end:
        time.sleep(0.02)


def test_listed_later_is_restricted_on_the_platform_and_withdrawn_is_released(tmp_path: Path) -> None:
    """With the serving process killed in between, and the platform's own system down when the list came."""
    platform = Platform(tmp_path)
    with served(platform.hashward, config=platform.config) as serving:
        door = Door(serving.url())
        first = door.scan([picture(1)], ref=REF)
        other = door.scan([picture(2)], ref=b"another")
        platform.down.touch()
        platform.list_it(picture(1))
        until(lambda: any(row["attempts"] for row in platform.hashward("actions", "list", "--json").objects))
        serving.process.send_signal(signal.SIGKILL)
        serving.process.wait()
    platform.down.unlink()
    with served(platform.hashward, config=platform.config) as serving:
        told = platform.awaits(1)
        again = Door(serving.url()).scan([picture(1)], ref=b"the same again")
        told_again = platform.awaits(2)
        assert platform.hashward.real("hashset", "remove", "set").code == 0
        assert platform.hashward.real("rescan").code == 0
        released = platform.awaits(4)

    assert ["clear", "clear", "matched"] == [first.verdict, other.verdict, again.verdict]
    assert {("restrict", REF.decode())} == set(told)
    assert {("restrict", REF.decode()), ("restrict", "the same again")} == set(told_again)
    assert {("release", REF.decode()), ("release", "the same again")} == set(released) - set(told_again)
    assert REF.decode() not in serving.said


def test_an_application_behind_the_middleware_is_never_given_what_matches(tmp_path: Path) -> None:
    """Forms with several files, against the real thing."""
    platform = Platform(tmp_path)
    called: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        called.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def form(*files: bytes) -> bytes:
        head = b'--B\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        return b"".join(head + file + b"\r\n" for file in files) + b"--B--\r\n"

    with served(platform.hashward, config=platform.config) as serving:
        platform.list_it(picture(1))
        guarded = HashwardMiddleware(app, Door(serving.url()))
        kind = "multipart/form-data; boundary=B"
        statuses = [ask(guarded, form(*files), kind) for files in ((picture(2), picture(3)), (picture(2), picture(1)))]

    assert [200, 422] == statuses
    assert [form(picture(2), picture(3))] == called

"""@tus/server, as the page on tusd sets it up, and tus-js-client against the hooks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scanner.doors.http_app import application
from tests.scanner.clients.serving import running
from tests.scanner.doors.faces import Client, Face

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "scanner" / "doors" / "pages" / "tusd.md"
LISTED = b"a listed picture"


def installed(folder: Path) -> str:
    """Node, with the packages of the lock in a folder; skips where there is none to be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node and npm are not installed")
    if (
        int(subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout[1:].split(".")[0])
        < 20
    ):
        pytest.skip("@tus/server needs Node 20 or later")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "tus_client" / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)
    if done.returncode:
        pytest.skip("the packages of the lock cannot be fetched from npm's registry here")
    return node


@pytest.mark.prove
def test_what_is_refused_is_an_error_to_the_client_and_no_upload_that_may_be_kept(tmp_path: Path) -> None:
    """One hook, no retry. The client that resumes it is told success by the server, the application is told 404."""
    node = installed(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    face = Face(tmp_path / "home", LISTED, roots=(bytes(data),))
    with running(application(face.door)) as address:
        (snippet,) = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        server = snippet.replace("http://127.0.0.1:8417", address).replace("/srv/tusd/data", str(data))
        (tmp_path / "run.mjs").write_text(server + (HERE / "tus_client" / "drive.mjs").read_text())
        done = subprocess.run([node, "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    said = json.loads(done.stdout)
    clear, refused = (each["url"].rpartition("/")[2] for each in (said["clear"], said["refused"]))
    kept = Client(application(face.door)).get(f"/v1/tus/uploads/{refused}").status_code
    remembered = [face.ledger.refusals.holds(each.encode()) for each in (clear, refused)]
    face.ledger.close()

    assert (True, False, 422) == (said["clear"]["ok"], said["refused"]["ok"], said["refused"]["status"])
    assert said["resumed"]["ok"]  # by tus's own rules: nothing is missing
    assert [b"something harmless", LISTED] == face.intake.seen
    assert [False, True] == remembered
    assert 404 == kept

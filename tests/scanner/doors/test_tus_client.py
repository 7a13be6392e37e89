"""@tus/server, as the page on tusd sets it up, and tus-js-client against the hooks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scanner.doors.http_app import application
from scanner.doors.s3_objects import client_of
from scanner.s3_config import S3Config
from tests.scanner.clients.serving import running
from tests.scanner.doors.faces import Client, Face
from tests.scanner.doors.served import Served, served
from tests.scanner.doors.test_acting_end_to_end import Platform

HERE = Path(__file__).parent
PACKAGES = HERE.parents[2] / ".venv" / "npm" / "node_modules"
PAGE = HERE.parents[2] / "scanner" / "doors" / "pages" / "tusd.md"
LISTED = b"a listed picture"
FILES = "datastore: new FileStore({ directory: '/srv/tusd/data' })"


def node_with_packages(folder: Path) -> str:
    """Node, and its packages where a script in the folder finds them; skips where there are none."""
    node = shutil.which("node")
    if node is None or not (PACKAGES / "@tus" / "server").is_dir():
        pytest.skip("needs Node 20 and npm's @tus/server (.ci/run installs it where npm is)")
    (folder / "node_modules").symlink_to(PACKAGES)
    return node


def snippets() -> tuple[str, str]:
    """The server of the page, over files; and the store it has over S3."""
    files, objects = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return files, objects


def driven(node: str, folder: Path, server: str) -> Any:
    """What clients of this server are told."""
    (folder / "run.mjs").write_text(server + (HERE / "npm" / "tus_drive.mjs").read_text())
    done = subprocess.run([node, "run.mjs"], cwd=folder, capture_output=True, text=True, timeout=200)
    return json.loads(done.stdout)


def id_of(said: Any) -> str:
    """The upload's, of its address."""
    return str(said["url"].rpartition("/")[2])


def test_what_is_refused_is_an_error_to_the_client_and_no_upload_that_may_be_kept(tmp_path: Path) -> None:
    """One hook, no retry. The client that resumes it is told success by the server, the application is told 404."""
    node = node_with_packages(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    face = Face(tmp_path / "home", LISTED, roots=(bytes(data),))
    with running(application(face.door)) as address:
        server = snippets()[0].replace("http://127.0.0.1:8417", address).replace("/srv/tusd/data", str(data))
        said = driven(node, tmp_path, server)
    clear, refused = id_of(said["clear"]), id_of(said["refused"])
    kept = Client(application(face.door)).get(f"/v1/tus/uploads/{refused}").status_code
    remembered = [face.ledger.refusals.holds(each.encode()) for each in (clear, refused)]
    face.ledger.close()

    assert (True, False, 422) == (said["clear"]["ok"], said["refused"]["ok"], said["refused"]["status"])
    assert said["resumed"]["ok"]  # by tus's own rules: nothing is missing
    assert [b"something harmless", LISTED] == face.intake.seen
    assert [False, True] == remembered
    assert 404 == kept


def test_the_same_server_over_s3_refuses_alike_and_what_is_listed_later_is_found_by_its_id(
    tmp_path: Path, moto: str
) -> None:
    """Bytes are fetched from the store by the real thing: refused is refused at every retry, and gone is not clear."""
    node, platform = node_with_packages(tmp_path), Platform(tmp_path)
    (tmp_path / "keys").write_text("KEY\nSECRET\n")
    owner = client_of(S3Config(endpoint=moto, keys_file=tmp_path / "keys", buckets=("uploads",)), "s3", moto)
    owner.create_bucket(Bucket="uploads")
    platform.hashward.home.mkdir()
    platform.list_it(LISTED, "first")
    stored = f'[s3]\nendpoint = "{moto}"\nkeys_file = "{tmp_path / "keys"}"\nbuckets = ["uploads"]\n'
    files, objects = snippets()
    assert FILES in files
    with served(platform.hashward, config=platform.config + stored) as serving:
        server = objects.replace("http://127.0.0.1:9000", moto) + files.replace(FILES, "datastore")
        said = driven(node, tmp_path, server.replace("http://127.0.0.1:8417", serving.url()))
        clear, refused = id_of(said["clear"]), id_of(said["refused"])
        again = [status_of(serving, each) for each in (clear, refused)]
        kept = [serving.client.get(f"/v1/tus/uploads/{each}").status_code for each in (clear, refused)]
        platform.list_it(b"something harmless", "later")
        told = platform.awaits(2)
        listed = status_of(serving, clear), serving.client.get(f"/v1/tus/uploads/{clear}").status_code
        gone = status_of(serving, "never")
    owner.close()

    assert (True, False, 422) == (said["clear"]["ok"], said["refused"]["ok"], said["refused"]["status"])
    assert said["resumed"]["ok"]  # by tus's own rules: nothing is missing
    assert ([None, 422], [200, 404]) == (again, kept)
    assert {("restrict", refused), ("restrict", clear)} == set(told)
    assert (422, 404) == listed
    assert 422 == gone


def status_of(serving: Served, upload: str) -> int | None:
    """What the hook of an upload to S3 that has all its bytes is told; None: nothing against it."""
    storage = {"Type": "s3store", "Bucket": "uploads", "Key": upload}
    event = {"Upload": {"ID": upload, "Size": 16, "Storage": storage}}
    said = serving.client.post("/v1/tus", json={"Type": "pre-finish", "Event": event}).json()
    return said["HTTPResponse"]["StatusCode"] if "HTTPResponse" in said else None

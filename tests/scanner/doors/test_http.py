"""The http door as a real process, by real clients: curl, httpx, the SDK of Arachnid Shield."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from scanner.selftest import picture
from tests.command import Hashward
from tests.scanner.doors.served import Served, served

CANARY = "canary-7e1f"


def jpeg(phase: float, quality: int = 90) -> bytes:
    """A made picture."""
    out = io.BytesIO()
    Image.fromarray(picture(phase)).save(out, "JPEG", quality=quality)
    return out.getvalue()


LISTED, NEAR, CLEAN = jpeg(0.0), jpeg(0.0, quality=70), jpeg(5.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Hashward:
    """A home that lists a picture by digest and by PDQ, with tokens."""
    folder = tmp_path_factory.mktemp("http")
    made = Hashward(folder / "home")
    (folder / "listed.jpg").write_bytes(LISTED)
    signals = made("hash", "--json", folder / "listed.jpg").objects[0]
    lines = [f"pdq {signals['pdq']['hex']}", f"sha256 {signals['sha256']}"]
    (folder / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    assert 0 == made("hashset", "import", "list-with-a-name", folder / "list.txt", "--approve").code
    return made


@pytest.fixture(scope="module")
def tokens(home: Hashward) -> dict[str, str]:
    """A token for each scope."""
    return {
        scope: home.json("token", "add", scope, "--scope", scope)["token"]
        for scope in ("scan", "forget", "lookup", "metrics")
    }


@pytest.fixture(scope="module")
def door(home: Hashward, tokens: dict[str, str]) -> Iterator[Served]:
    """Three listeners: open, by token, and one that lets pass what cannot be judged and takes little."""
    config = "".join(
        f'[[serve.listener]]\nname = "{name}"\nkind = "http"\naddress = "127.0.0.1:0"\n{more}\n'
        for name, more in (
            ("http", "lookups_per_minute = 6000\ndeadline_seconds = 60"),
            ("tokens", 'access = "token"\ndeadline_seconds = 60'),
            ("lenient", 'on_undecidable = "ok"\nmax_mb = 1\ndeadline_seconds = 60'),
            ("strict", 'on_undecidable = "found"\nmax_mb = 1\ndeadline_seconds = 60'),
            ("accepting", 'on_match = "accept"\ndeadline_seconds = 60'),
        )
    )
    with served(home, config=config) as made:
        yield made


def other(door: Served, listener: str) -> str:
    """The address of another listener's scan."""
    return f"{door.url(listener)}/v1/scan"


# -- our own ----------------------------------------------------------------------------------------------------------


def test_a_body_gets_its_verdict_raw_and_as_a_form(door: Served) -> None:
    """Matched exactly, nearly, or clear; the name says nothing but that it is blocked."""
    for ask in (lambda body: {"content": body}, lambda body: {"files": {"any": ("../x", body)}, "data": {"a": "b"}}):
        exact, near, clear = (door.client.post("/v1/scan", **ask(body)).json() for body in (LISTED, NEAR, CLEAN))

        assert {"verdict": "clear", "block": False} == clear
        assert ("matched", True, "exact") == (exact["verdict"], exact["block"], exact["match"])
        assert ("matched", True, "near") == (near["verdict"], near["block"], near["match"])
        assert exact["name"].startswith("Policy.Blocked.")


def test_curl_sends_chunks_as_pict_rs_does(door: Served, tmp_path: Path) -> None:
    """Chunked without a length; any status but 2xx blocks."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    for body, status in ((LISTED, "406"), (CLEAN, "200")):
        (tmp_path / "body").write_bytes(body)
        headers = ["-H", "Content-Type: image/webp", "-H", "Transfer-Encoding: chunked"]
        command = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "-X", "POST", *headers, "--data-binary"]
        command += [f"@{tmp_path}/body", f"{door.url()}/pict-rs"]
        assert status == subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout


def test_curl_reads_a_refusal_while_it_still_sends(door: Served, tmp_path: Path) -> None:
    """Too long, or without a token: the sender comes to read why, with and without asking first."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "body").write_bytes(bytes(3_000_000))
    for listener, status in (("strict", "200"), ("tokens", "401")):
        for expect in ("Expect:", "Expect: 100-continue"):
            for framing in ("X-A: b", "Transfer-Encoding: chunked"):
                command = ["curl", "-sS", "-w", "%{http_code}", "-H", expect, "-H", framing, "--data-binary",
                           f"@{tmp_path}/body", other(door, listener)]  # fmt: skip
                done = subprocess.run(command, capture_output=True, text=True, timeout=100)
                assert (0, "") == (done.returncode, done.stderr), done
                assert done.stdout.endswith(status), (listener, expect, framing, done.stdout)


def test_what_cannot_be_judged_goes_by_the_listeners_rule(door: Served) -> None:
    """An error by default, else it passes or blocks; the reason is said. What did not come whole never passes."""
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    error = door.client.post("/v1/scan", content=drawing)
    passed, blocked = (door.client.post(other(door, name), content=drawing).json() for name in ("lenient", "strict"))
    cut = door.client.post(other(door, "lenient"), content=CLEAN[:-400])

    assert (422, "undecidable", True) == (error.status_code, error.json()["verdict"], error.json()["block"])
    assert (False, True) == (passed["block"], blocked["block"])
    assert ["undecodable"] * 3 == [each["reason"] for each in (error.json(), passed, blocked)]
    assert (422, "cut", True) == (cut.status_code, cut.json()["reason"], cut.json()["block"])
    assert 400 == door.client.post("/v1/scan", content=b"").status_code
    assert "over_limit" == door.client.post(other(door, "lenient"), content=bytes(2**20 + 1)).json()["reason"]


def test_accept_says_the_same_of_everything_that_can_be_looked_at(door: Served) -> None:
    """The reply to a listed picture is byte for byte that to another."""
    replies = {
        door.client.post(other(door, "accepting"), content=body, headers={"Hashward-Ref": f"a{at}"}).text
        for at, body in enumerate((LISTED, NEAR, CLEAN, jpeg(7.0)))
    }

    assert {'{"verdict":"accepted","block":false}'} == replies


def test_an_upload_is_forgotten_by_its_ref(door: Served, home: Hashward) -> None:
    """A ref may hold anything a header can, and is one; a second time it is not known."""
    ref = "bucket/a b%2F+c?d"
    door.client.post("/v1/scan", content=CLEAN, headers={"Hashward-Ref": ref})
    path = "/v1/assets/bucket%2Fa%20b%252F%2Bc%3Fd"

    assert [204, 404] == [door.client.delete(path).status_code for _ in range(2)]
    for bad in ([""], ["x" * 513], ["one", "another"]):
        headers = [("Hashward-Ref", each) for each in bad]
        assert 400 == door.client.post("/v1/scan", content=CLEAN, headers=headers).status_code


def test_nothing_is_fetched_and_nothing_redirects(door: Served) -> None:
    """A URL is refused with a sentence; a slash more or less changes nothing; what is not there is 404 or 501."""
    assert "fetches no URL" in door.client.post("/v1/scan?url=http://127.0.0.1/", content=b"x").json()["detail"]
    assert "fetches no URL" in door.client.post("/v1/url/", json={"url": "http://127.0.0.1/"}).json()["detail"]
    assert (
        "fetches no URL"
        in door.client.get(f"{door.url()}//h/hash?url=http://127.0.0.1/&content_type=photo").json()["message"]
    )
    statuses = [door.client.request(method, door.url() + path, content=CLEAN).status_code
        for method, path in (
        ("POST", "/v1/scan/"), ("POST", "//v1/scan"), ("GET", "/v1/scan"), ("GET", "/nothing"),
        ("GET", "//c/bank/COOP_X_Y"), ("POST", "/c/banks"), ("GET", "/m/index/status"), ("POST", "/m/compare"),
    )]  # fmt: skip

    assert [200, 200, 405, 404, 501, 501, 501, 501] == statuses


def test_forms_that_are_none_are_refused(door: Served) -> None:
    """No file, two files, no end, no boundary, a boundary that is never met."""
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    for body in (
        b"", b"--b--\r\n", head + b"x", head + b"x\r\n" + head + b"y\r\n--b--\r\n", b"\x00" * 99,
        b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n--b--\r\n', b"--b\r\n" + b"A: b\r\n" * 9999,
    ):  # fmt: skip
        assert 400 == door.client.post("/v1/scan", content=body, headers=kind).status_code, body[:50]
    assert 400 == door.client.post(
        "/v1/scan", content=b"x", headers={"Content-Type": "multipart/form-data"}
    ).status_code  # fmt: skip
    assert 200 == door.client.post("/v1/scan", content=head + b"x\r\n--b--\r\n", headers=kind).status_code


# -- faces ------------------------------------------------------------------------------------------------------------


def test_the_shield_sdk_works_unmodified(door: Served) -> None:
    """A file's digests and classification come back; what cannot be judged is an exception with our sentence."""
    script = (
        "import base64, json, sys\n"
        "from arachnid_shield_sdk import ArachnidShield\n"
        "shield = ArachnidShield('user', 'password')\n"
        "said = []\n"
        "for text in json.load(sys.stdin):\n"
        "    try:\n"
        "        found = shield.scan_media_from_bytes(base64.b64decode(text), 'image/jpeg')\n"
        "        match = found.match_type and found.match_type.value\n"
        "        said.append([found.sha256_hex, found.classification.value, match])\n"
        "    except Exception as error:\n"
        "        said.append([type(error).__name__, str(error)])\n"
        "print(json.dumps(said))\n"
    )
    bodies = [LISTED, NEAR, CLEAN, CLEAN[:-400]]
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps([base64.b64encode(each).decode() for each in bodies]),
        env={**os.environ, "ARACHNID_SHIELD_URL": f"{door.url()}/"}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr
    exact, near, clear, cut = json.loads(done.stdout)
    assert [hashlib.sha256(LISTED).hexdigest().upper()] == exact[:1]
    assert [["csam", "exact"], ["csam", "near"], ["no-known-match", None]] == [exact[1:], near[1:], clear[1:]]
    assert "cannot be judged" in cut[1]


def test_what_bluesky_and_pictrs_safety_ask_is_answered_in_their_words(door: Served) -> None:
    """A hit labelled csam; 406 for what their picture service must not keep."""
    url = "/xrpc/com.atproto.unspecced.scanBlob?did=did:plc:x&uri=at://x/y"
    blocked, clear = (door.client.post(url, content=body, auth=("admin", "pw")).json() for body in (LISTED, CLEAN))
    assert ["csam"] == [hit["label"] for hit in blocked["match"]["hits"]]
    assert {"blob": None, "match": {"status": "success", "hits": []}} == clear
    for body, status, message in ((LISTED, 406, "Potential CSAM Image detected"), (CLEAN, 200, "Image OK")):
        raw = door.client.post("/api/v1/scan/IPADDR", content=body)
        form = door.client.post("/api/v1/scan/IPADDR", files={"file": ("x.png", body)})
        assert [(status, {"message": message})] * 2 == [(each.status_code, each.json()) for each in (raw, form)]


def test_hmas_hashes_are_ours_and_its_health_is_told(door: Served, home: Hashward, tmp_path: Path) -> None:
    """The PDQ of a photo, the MD5 of a video, and 400 for a field of another name."""
    (tmp_path / "clean.jpg").write_bytes(CLEAN)
    own = home("hash", "--json", tmp_path / "clean.jpg").objects[0]["pdq"]["hex"]
    said = [
        door.client.post(f"{door.url()}//h/hash", files={name: ("x", CLEAN)}) for name in ("photo", "video", "file")
    ]

    assert [{"pdq": own}, {"video_md5": hashlib.md5(CLEAN).hexdigest()}] == [each.json() for each in said[:2]]
    assert 400 == said[2].status_code
    assert ["I-AM-ALIVE"] * 2 == [door.client.get(path).text for path in ("/status", "/status/live")]


def test_lookups_need_their_scope_and_say_no_more_than_that_it_is_listed(
    door: Served, home: Hashward, tokens: dict[str, str], tmp_path: Path
) -> None:
    """The distance is always "0"; an asker without the scope is refused, and so is everybody where lookups are off."""
    (tmp_path / "near.jpg").write_bytes(NEAR)
    near = home("hash", "--json", tmp_path / "near.jpg").objects[0]["pdq"]["hex"]
    may = {"Authorization": f"Bearer {tokens['lookup']}"}
    ask = f"/m/lookup?signal_type=pdq&signal={near}"

    assert {"list-with-a-name": [{"bank_content_id": 1, "distance": "0"}]} == door.client.get(ask, headers=may).json()
    assert {} == door.client.get(f"{ask}&banks=other", headers=may).json()
    assert {} == door.client.get(f"/m/lookup?signal_type=pdq&signal={'0f' * 32}", headers=may).json()
    assert {"pdq": {"list-with-a-name": [{"bank_content_id": 1, "distance": "0"}]}} == door.client.post(
        "/m/lookup?bypass_coinflip=true", files={"photo": ("x", NEAR)}, headers=may
    ).json()
    assert {"pdq": {}} == door.client.post("/m/lookup", files={"photo": ("x", CLEAN)}, headers=may).json()
    assert {"video_md5": {}} == door.client.post("/m/lookup", files={"video": ("x", CLEAN)}, headers=may).json()
    assert 401 == door.client.post("/m/lookup", files={"photo": ("x", NEAR)}).status_code
    assert {"matches": [1]} == door.client.get(ask.replace("lookup", "raw_lookup"), headers=may).json()
    for bad in ("signal_type=pdq", "signal_type=pdq&signal=zz", "signal_type=nope&signal=00", "url=http://x/"):
        assert 400 == door.client.get(f"/m/lookup?{bad}", headers=may).status_code
    assert 401 == door.client.get(ask).status_code
    assert 401 == door.client.get(ask, headers={"Authorization": f"Bearer {tokens['scan']}"}).status_code
    assert 403 == door.client.get(f"{door.url('tokens')}{ask}", headers=may).status_code
    value = base64.b64encode(bytes.fromhex(near)).decode()
    shield = door.client.post("/v1/pdq/", json={"hashes": [value]}, headers=may).json()
    assert "csam" == shield["scanned_hashes"][value]["classification"]


# -- access -----------------------------------------------------------------------------------------------------------


def test_a_token_is_taken_wherever_a_client_can_put_it(door: Served, tokens: dict[str, str]) -> None:
    """Bearer, the password of Basic, the path; a scope opens its own doors alone."""
    scan = tokens["scan"]
    basic = base64.b64encode(f"user:{scan}".encode()).decode()
    url = door.url("tokens")
    ways = (
        ("/v1/scan", f"Bearer {scan}"), ("/v1/scan", f"basic {basic}"), (f"/pict-rs/{scan}", ""),
        (f"/api/v1/scan/{scan}", ""), ("/v1/media/", f"Basic {basic}"),
    )  # fmt: skip
    good = [door.client.post(url + path, content=CLEAN, headers={"Authorization": said}) for path, said in ways]
    bad = [
        door.client.post(url + path, content=CLEAN, headers={"Authorization": said})
        for path, said in (
            ("/v1/scan", ""), ("/v1/scan", f"Bearer {tokens['metrics']}"), ("/v1/scan", "Bearer " + "x" * 4000),
            ("/v1/scan", "Basic !!!"), ("/pict-rs", ""), ("/pict-rs/x", ""), ("/api/v1/scan/IPADDR", ""),
        )
    ]  # fmt: skip

    assert [200] * 5 == [each.status_code for each in good]
    assert [401] * 7 == [each.status_code for each in bad]
    assert 401 == door.client.get(f"{url}/metrics").status_code
    assert 200 == door.client.get(
        f"{url}/metrics", headers={"Authorization": f"Bearer {tokens['metrics']}"}
    ).status_code  # fmt: skip
    assert [200, 200] == [door.client.get(url + path).status_code for path in ("/healthz", "/readyz")]


# -- what it says of itself -------------------------------------------------------------------------------------------


def test_metrics_and_logs_hold_nothing_that_was_sent(door: Served, home: Hashward) -> None:
    """A canary in every place a request has, and then neither the metrics nor the log know it, or a digest."""
    body = CLEAN + CANARY.encode()
    door.client.post(
        f"/v1/scan?{CANARY}={CANARY}",
        files={CANARY: (CANARY, body, f"image/{CANARY}")},
        headers={"Hashward-Ref": CANARY, "User-Agent": CANARY, "X-Forwarded-For": CANARY, "traceparent": CANARY},
    )
    door.client.post(f"/{CANARY}", content=CANARY, headers={"Authorization": f"Bearer {CANARY}"})
    door.client.delete(f"/v1/assets/{CANARY}-not-held")
    for headers in ({"Hashward-Ref": CANARY}, {}):
        door.client.post("/v1/scan", content=LISTED, headers=headers)
    with socket.create_connection(("127.0.0.1", door.ports["http"])) as raw:
        raw.sendall(f"NO HTTP {CANARY}\r\n\r\n".encode())
        raw.recv(4096)
    metrics = door.client.get("/metrics").text

    for said in (metrics, door.said):
        assert CANARY not in said
        assert hashlib.sha256(body).hexdigest() not in said.lower()
    assert 'hashward_answers_total{listener="http",reason="none",verdict="matched"}' in metrics
    assert 'hashward_unlocatable_total{listener="http"}' in metrics


def test_it_is_as_it_describes_itself(door: Served) -> None:
    """Every operation of /openapi.json is there, and a reply has the form it names."""
    document = door.client.get("/openapi.json").json()
    reply = door.client.post("/v1/scan", content=LISTED).json()
    schema = document["paths"]["/v1/scan"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]

    jsonschema.validate(reply, schema)
    assert {"/v1/requests", "/v1/tus", "/v1/tus/uploads/{ref}", "/v1/s3"} <= document["paths"].keys()
    for path, operations in document["paths"].items():
        for method in operations:
            at = path.replace("{ref}", "x").replace("{id}", "x")
            status = door.client.request(method, at, content=b"").status_code
            assert str(status) in operations[method]["responses"], (path, method, status)


def test_half_a_request_keeps_nobody_waiting(door: Served) -> None:
    """Connections that never finish their head, and bodies that stop: others are served meanwhile."""
    halves = [socket.create_connection(("127.0.0.1", door.ports["http"])) for _ in range(100)]
    try:
        for half in halves[:50]:
            half.sendall(b"POST /v1/scan HTTP/1.1\r\nHost: x\r\n")
        for half in halves[50:]:
            half.sendall(b"POST /v1/scan HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nbegin")
        for _ in range(20):
            assert 200 == door.client.post("/v1/scan", content=CLEAN).status_code
    finally:
        for half in halves:
            half.close()


def test_a_picture_of_noise_is_looked_at_once_however_it_comes(door: Served) -> None:
    """Known content is not decoded again: the second answer is the first's."""
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(out, "PNG")

    assert 1 == len({door.client.post("/v1/scan", content=out.getvalue()).text for _ in range(3)})

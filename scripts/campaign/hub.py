"""A hub that lies, fails, redirects and is too slow; and where a token goes."""

import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from running import run

TOKEN = "hf_" + "s3cretS3cretS3cret"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def lies():
    """Name, and what is done: `(handler, path, is_list) -> None`, which answers."""
    found = {}

    def lie(name):
        return lambda answer: found.setdefault(name, answer)

    for status in (100, 204, 206, 301, 302, 304, 307, 308, 400, 401, 402, 403, 404, 410, 416, 418, 429, 500, 502, 503, 504, 599):
        lie(f"status {status}")(lambda h, status=status: h.give(status, b"{}"))
    places = ["http://127.0.0.1:9/x", "http://169.254.169.254/latest", "http://[::1]:9/", "http://0x7f.1:9/", "http://2130706433:9/", "file:///etc/passwd",
              "//127.1:9/x", "https://127.0.0.1:9/", "gopher://x/", "http://", "/../../../etc/passwd", "\\\\host\\share", "http://user:pass@127.1:9/"]
    for where in places:
        lie(f"redirect to {where}")(lambda h, where=where: h.give(302, b"", {"Location": where}))
    lie("redirect in a circle")(lambda h: h.give(302, b"", {"Location": h.path}))
    lie("redirect to another port")(lambda h: h.give(302, b"", {"Location": f"http://127.0.0.1:{h.server.other}{h.path}"}))
    for name, body in {
        "no JSON": b"<html>", "an empty answer": b"", "deep JSON": b"[" * 100000, "a list": b"[]", "no commit": b'{"siblings": []}',
        "a commit that leads out": json.dumps({"sha": "../../../../tmp/evil", "siblings": []}).encode(),
        "files that lead out": json.dumps({"sha": COMMIT, "siblings": [{"rfilename": name} for name in ["../../evil.json", "/etc/x", "a/../../b", "config.json"]]}).encode(),
        "no files": json.dumps({"sha": COMMIT, "siblings": []}).encode(),
        "many files": json.dumps({"sha": COMMIT, "siblings": [{"rfilename": f"{n}.json"} for n in range(200000)]}).encode(),
        "names of control characters": json.dumps({"sha": COMMIT, "siblings": [{"rfilename": "\x1b]0;x\x07config.json"}]}).encode(),
    }.items():
        lie(f"list: {name}")(lambda h, body=body: h.give(200, body) if h.is_list() else h.give(404, b""))
    headers = {
        "an ETag that leads out": {"ETag": '"../../../evil"'}, "no ETag": {}, "a wrong SHA-256": {"ETag": '"' + "0" * 64 + '"'},
        "a wrong git hash": {"ETag": '"' + "0" * 40 + '"'}, "another commit": {"ETag": '"a"', "X-Repo-Commit": "f" * 40},
        "a size beyond the disk": {"ETag": '"a"', "X-Linked-Size": str(1 << 62)}, "a negative size": {"ETag": '"a"', "X-Linked-Size": "-5"},
    }
    for name, given in headers.items():
        lie(f"file: {name}")(lambda h, given=given: h.files() if h.is_list() else h.give(200, b"{}", given))
    return found


class Handler(BaseHTTPRequestHandler):
    """Answers by the lie of its server."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("authorization")))
        try:
            self.server.lie(self)
        except OSError:
            pass  # the client had enough

    do_HEAD = do_GET

    def is_list(self):
        return self.path.startswith("/api/")

    def files(self):
        self.give(200, json.dumps({"sha": COMMIT, "siblings": [{"rfilename": name} for name in ["config.json", "model.safetensors"]]}).encode())

    def give(self, status, body, headers=None):
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, lie, other=0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lie, self.other, self.seen = lie, other, []
        threading.Thread(target=self.serve_forever, daemon=True).start()


def attack(place, tally, tries, draw):
    stranger = Hub(lambda handler: handler.give(200, b"{}"))
    for name, lie in list(lies().items())[:tries]:
        if tally.is_over():
            break
        server = Hub(lie, stranger.server_port)
        environment = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0"}
        cache = place.path(f"cache-{hashlib.sha256(name.encode()).hexdigest()[:8]}")
        command = [place.groma, "score", "--model", "owner/name", "--text", "text.txt"]
        outcome = run(command, place.root, {**environment, "HF_HOME": cache}, seconds=40)
        server.shutdown()
        tally.add(name, problem(place, outcome, stranger))
    stranger.shutdown()


def problem(place, outcome, stranger):
    if any(token for _, token in stranger.seen):
        return "the token went to another server"
    if TOKEN in outcome.said:
        return "the token is shown"
    if outcome.code == 0:
        return "a lie was taken for a model"
    if any("\x1b" in line or "\x07" in line for line in outcome.said.splitlines()):
        return "control characters of the hub are shown"
    for name in ("evil.json", "evil", "b"):
        if os.path.exists(place.path(name)) or os.path.exists(os.path.join("/tmp", name)):
            return f"{name} was written outside the cache"
    return outcome.problem()

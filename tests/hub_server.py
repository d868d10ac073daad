"""A stand-in for the Hugging Face hub: an HTTP server of this machine, which keeps what is pushed.

It answers what huggingface_hub asks when it makes a repository, commits files to it and fetches a
snapshot of it.
"""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

COMMIT = "1" * 40
USER = "ada"


class Hub(ThreadingHTTPServer):
    """The server, with its files by repository and path; ``failing`` is what it answers instead."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = {}
        self.asked = []
        self.tokens = set()
        self.failing = None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"

    def use(self, monkeypatch, folder):
        """Have huggingface_hub talk to this server, and cache in a folder."""
        template = self.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        constants = pytest.importorskip(
            "huggingface_hub.constants", reason="NOT TESTED: huggingface_hub is not installed"
        )
        monkeypatch.setattr(constants, "ENDPOINT", self.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setenv("HF_TOKEN", "secret")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        self.server.tokens.add(self.headers.get("Authorization"))
        if self.server.failing and not path.startswith("/api/agent"):
            status, code = self.server.failing
            self.answer({"error": "no"}, status, **({"X-Error-Code": code} if code else {}))
        elif path.startswith("/api/models/"):
            self.model(path.removeprefix("/api/models/"), body)
        elif path == "/api/repos/create":
            name = f"{USER}/{json.loads(body)['name']}"
            self.server.repositories.setdefault(name, {})
            self.answer({"url": f"{self.server.endpoint}/{name}", "name": name})
        elif "/resolve/" in path:
            repository, _, rest = path[1:].partition("/resolve/")
            content = self.server.repositories[repository][rest.partition("/")[2]]
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            self.send(content, 200, **{"X-Repo-Commit": COMMIT, "ETag": etag})
        else:
            self.answer({})

    do_POST = do_HEAD = do_GET

    def model(self, path, body):
        repository, what = "/".join(path.split("/")[:2]), path.split("/")[2]
        files = self.server.repositories.get(repository)
        if files is None:
            self.answer({"error": "no"}, 404, **{"X-Error-Code": "RepoNotFound"})
        elif what == "preupload":
            named = json.loads(body)["files"]
            modes = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in named
            ]
            self.answer({"files": modes})
        elif what == "commit":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    file = line["value"]
                    files[file["path"]] = base64.b64decode(file["content"])
            url = f"{self.server.endpoint}/{repository}/commit/{COMMIT}"
            self.answer({"commitUrl": url, "commitOid": COMMIT, "success": True})
        elif what == "tree":
            self.answer(
                [
                    {"type": "file", "path": name, "size": len(x), "oid": "2" * 40}
                    for name, x in files.items()
                ]
            )
        else:
            self.answer({"id": repository, "sha": COMMIT, "siblings": []})

    def answer(self, content, status=200, **headers):
        self.send(json.dumps(content).encode(), status, **headers)

    def send(self, body, status, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

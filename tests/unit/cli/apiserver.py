"""A small API server: objects by path, who is asking, and nothing else."""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import yaml

USER = "olga@example.com"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET of an object or a list, and SelfSubjectReview."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, Any]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = urllib.parse.urlsplit(self.path).path
        found = self.objects.get(path)
        self._answer(200, {"items": found} if isinstance(found, list) else found) if found is not None else self._answer(
            404, {"message": f"{path} not found"}
        )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(201, {"status": {"userInfo": {"username": USER}}})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextlib.contextmanager
def run(folder: pathlib.Path, objects: dict[str, Any], namespace: str = "risk") -> Iterator[pathlib.Path]:
    """Runs it; the path of a kubeconfig for it."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"objects": objects}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    file = folder / "kubeconfig"
    cluster = {"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}
    context = {"name": "it", "context": {"cluster": "it", "user": "me", "namespace": namespace}}
    config = {"clusters": [cluster], "users": [{"name": "me", "user": {"token": "t"}}], "contexts": [context], "current-context": "it"}
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **config}))
    try:
        yield file
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

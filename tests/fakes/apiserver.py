"""A small API server: objects by path, who is asking, creating, replacing, and JSON patches."""

from __future__ import annotations

import contextlib
import copy
import http.server
import json
import pathlib
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import yaml

USER = "olga@example.com"
HERE = "/apis/modelyard.dev/v1alpha1/namespaces/risk"

Json = dict[str, Any]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET of an object or a list, POST, PUT and PATCH of an object, and SelfSubjectReview."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    objects: dict[str, Any]
    fault: Callable[[Handler, str, Any], bool]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        found = self.objects.get(url.path)
        if self.fault(self, f"GET {url.path}", None):
            return
        if found is None and url.path.rsplit("/", 1)[-1] in {"models", "modelversions", "promotions"}:
            found = self._below(url.path, dict(urllib.parse.parse_qsl(url.query)).get("fieldSelector", ""))
        if found is None:
            self.answer(404, {"message": f"{url.path} not found"})
        else:
            self.answer(200, {"items": found} if isinstance(found, list) else found)

    def do_POST(self) -> None:
        body = self._body()
        path = urllib.parse.urlsplit(self.path).path
        if path.endswith("/selfsubjectreviews"):
            self.answer(201, {"status": {"userInfo": {"username": USER}}})
        elif not self.fault(self, f"POST {path}", body):
            body["metadata"] |= {"generation": 1, "resourceVersion": "1", "creationTimestamp": "2026-10-03T14:00:00Z"}
            self.objects[f"{path}/{body['metadata']['name']}"] = body
            self.answer(201, body)

    def do_PATCH(self) -> None:
        url, steps = urllib.parse.urlsplit(self.path), self._body()
        if self.fault(self, f"PATCH {url.path}", steps):
            return
        try:
            made = patched(self.objects[url.path], steps)
        except (KeyError, IndexError, AssertionError) as error:
            self.answer(422, {"message": f"the server rejected our request due to an error in our request: {error}"})
            return
        about = made["metadata"]
        about |= {"generation": about["generation"] + 1, "resourceVersion": str(int(about["resourceVersion"]) + 1)}
        if "dryRun" not in url.query:
            self.objects[url.path] = made
        self.answer(200, made)

    def do_PUT(self) -> None:
        path, body = urllib.parse.urlsplit(self.path).path, self._body()
        if self.fault(self, f"PUT {path}", body):
            return
        about = body["metadata"]
        about |= {"generation": about["generation"] + 1, "resourceVersion": str(int(about["resourceVersion"]) + 1)}
        self.objects[path] = body
        self.answer(200, body)

    def _below(self, path: str, selector: str) -> list[Json]:
        wanted = [one.split("=") for one in selector.split(",") if one]
        found = [one for name, one in self.objects.items() if name.rsplit("/", 1)[0] == path]
        return [one for one in found if all(one["spec"].get(field.removeprefix("spec.")) == value for field, value in wanted)]

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def answer(self, status: int, body: object) -> None:
        """An answer as JSON."""
        self.say(status, json.dumps(body).encode())

    def say(self, status: int, data: bytes) -> None:
        """An answer as it is."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def patched(obj: Json, steps: list[Json]) -> Json:
    """What a JSON patch (RFC 6902: test, add, replace, remove) makes of an object."""
    made = copy.deepcopy(obj)
    for step in steps:
        *above, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
        where: Any = made
        for part in above:
            where = where[int(part)] if isinstance(where, list) else where[part]
        key: Any = int(last) if isinstance(where, list) and last != "-" else last
        match step["op"]:
            case "test":
                assert where.get(key) == step["value"], f"testing value {step['path']} failed"
            case "add" if isinstance(where, list):
                where.insert(len(where) if key == "-" else key, step["value"])
            case "add":
                where[key] = step["value"]
            case "replace":
                assert where[key] is not None
                where[key] = step["value"]
            case "remove":
                del where[key]
    return made


@contextlib.contextmanager
def run(
    folder: pathlib.Path,
    objects: dict[str, Any],
    namespace: str = "risk",
    fault: Callable[[Handler, str, Any], bool] = lambda _handler, _asked, _body: False,
) -> Iterator[pathlib.Path]:
    """Runs it; the path of a kubeconfig for it. `fault` is called before each answer; True when it has answered itself."""
    bound = type("Bound", (Handler,), {"objects": objects, "fault": staticmethod(fault)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), bound)
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


def registry(*objects: Json) -> dict[str, Any]:
    """Objects of our kinds in the namespace `risk`, by path, as the API server completes them."""
    found = {}
    for one in objects:
        about = {
            "namespace": "risk",
            "generation": 1,
            "resourceVersion": "7",
            "creationTimestamp": "2026-10-01T00:00:00Z",
            **one["metadata"],
        }
        found[f"{HERE}/{one['kind'].lower()}s/{about['name']}"] = {**one, "metadata": about}
    return found


def model(**fields: Any) -> Json:
    """The Model fraud; `status` and `spec` fields beside what it needs."""
    status = fields.pop("status", {})
    spec = {"owner": {"team": "payments"}, "storage": {"uri": "s3://models/fraud/"}, **fields}
    return {"kind": "Model", "metadata": {"name": "fraud"}, "spec": spec, "status": status}


def version(name: str, phase: str = "Ready", **fields: Any) -> Json:
    """A version of it."""
    artifact = {"uri": f"s3://models/fraud/{name}/x", "format": "onnx"}
    spec = {"model": "fraud", "version": name, "artifact": artifact, **fields}
    return {
        "kind": "ModelVersion",
        "metadata": {"name": f"fraud-{name}"},
        "spec": spec,
        "status": {"phase": phase, "observedGeneration": 1},
    }


def promotion(name: str, version: str, stage: str, phase: str, **fields: Any) -> Json:
    """A Promotion of it."""
    conditions = [{"type": "Succeeded", "status": "True"}] if phase in {"Succeeded", "Superseded"} else []
    status = {"phase": phase, "observedGeneration": 1, "conditions": conditions}
    return {
        "kind": "Promotion",
        "metadata": {"name": name},
        "spec": {"model": "fraud", "version": version, "stage": stage, **fields},
        "status": status,
    }

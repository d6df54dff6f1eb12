"""A small S3 that misbehaves when it is told to: what real stores and networks do, but seldom when a test looks."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import pathlib
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from xml.sax import saxutils

from modelyard.content import location

CREDENTIALS = location.Credentials("PRETENDACCESSKEY", "pretend-secret-key")


@dataclasses.dataclass
class S3:
    """What is stored, what was asked, and how to answer wrongly."""

    endpoint: str = ""
    versioning: bool = True
    page: int = 1000
    """Keys in one page of a listing."""
    objects: dict[str, list[bytes]] = dataclasses.field(default_factory=dict)
    """Bucket and key, `models/fraud/1/a` → its versions."""
    asked: list[str] = dataclasses.field(default_factory=list)
    """`GET models/fraud/1/a`; a listing is `LIST models/fraud/`."""
    fault: Callable[[Handler, str], bool] = lambda _handler, _asked: False
    """Called before each answer; True when it has answered itself."""
    requests: list[str] = dataclasses.field(default_factory=list)
    """Whole request lines and headers, to look for secrets in."""

    @property
    def address(self) -> location.Address:
        return location.Address(self.endpoint, credentials=CREDENTIALS)

    def put(self, name: str, data: bytes) -> None:
        """Stores an object's next version."""
        self.objects.setdefault(name, []).append(data)

    def count(self, beginning: str) -> int:
        """How many requests began so."""
        return sum(asked.startswith(beginning) for asked in self.asked)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for `S3`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    s3: S3

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Sends a whole answer."""
        self.send_response(status)
        for name, value in ({"Content_Type": "application/xml", "Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status: int, code: str) -> bool:
        """Sends an S3 error; like real ones it quotes what was sent. True, as a fault that has answered says."""
        message = f"you sent {self.path} {self.headers.get('Authorization')}"
        self.answer(status, f"<Error><Code>{code}</Code><Message>{saxutils.escape(message)}</Message></Error>".encode())
        return True

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        name = urllib.parse.unquote(url.path).strip("/") if "list-type" in query else urllib.parse.unquote(url.path)[1:]
        asked = f"LIST {name}/{query['prefix']}" if "list-type" in query else f"{self.command} {name}"
        self.s3.asked.append(asked)
        self.s3.requests.append(f"{self.command} {self.path}\n{self.headers}")
        if self.s3.fault(self, asked):
            return
        if asked.startswith("LIST"):
            self._list(name, query)
        elif "versions" in query:
            self._versions(name.strip("/"), query["prefix"])
        elif self.command == "PUT":
            self._put(name, body)
        elif self.command == "DELETE":
            del self.s3.objects[name]
            self.answer(204)
        else:
            self._get(name, query)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        keys = sorted(name.removeprefix(f"{bucket}/") for name in self.s3.objects if name.startswith(f"{bucket}/{query['prefix']}"))
        rest = [key for key in keys if key > query.get("continuation-token", "")]
        page = rest[: self.s3.page]
        rows = "".join(
            f"<Contents><Key>{urllib.parse.quote(key)}</Key><Size>{len(data)}</Size><ETag>&quot;{_etag(data)}&quot;</ETag></Contents>"
            for key in page
            for data in self.s3.objects[f"{bucket}/{key}"][-1:]
        )
        more = (
            f"<IsTruncated>true</IsTruncated><NextContinuationToken>{page[-1]}</NextContinuationToken>" if len(rest) > self.s3.page else ""
        )
        document = f"<ListBucketResult><Name>{bucket}</Name><EncodingType>url</EncodingType>{rows}{more}</ListBucketResult>"
        self.answer(200, document.encode())

    def _versions(self, bucket: str, prefix: str) -> None:
        rows = "".join(
            f"<Version><Key>{urllib.parse.quote(name.removeprefix(f'{bucket}/'))}</Key><VersionId>{number}</VersionId><Size>{len(data)}</Size></Version>"
            for name, kept in sorted(self.s3.objects.items())
            if name.startswith(f"{bucket}/{prefix}")
            for number, data in enumerate(kept, 1)
        )
        self.answer(200, f"<ListVersionsResult><EncodingType>url</EncodingType>{rows}</ListVersionsResult>".encode())

    def _put(self, name: str, body: bytes) -> None:
        if self.headers.get("If-None-Match") == "*" and name in self.s3.objects:
            self.error(412, "PreconditionFailed")
            return
        self.s3.put(name, body)
        self.answer(200, ETag=f'"{_etag(body)}"')

    def _get(self, name: str, query: dict[str, str]) -> None:
        versions = self.s3.objects.get(name, [])
        number = int(query.get("versionId", len(versions)))
        if not 0 < number <= len(versions):
            self.error(404, "NoSuchKey")
            return
        data = versions[number - 1]
        if self.headers.get("If-Match", f'"{_etag(data)}"') != f'"{_etag(data)}"':
            self.error(412, "PreconditionFailed")
            return
        version = {"x_amz_version_id": str(number)} if self.s3.versioning else {}
        self.answer(200, data, ETag=f'"{_etag(data)}"', Content_Type="application/octet-stream", **version)


def _etag(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@contextlib.contextmanager
def run(certificate: tuple[pathlib.Path, pathlib.Path] | None = None) -> Iterator[S3]:
    """Runs it on a free port, with TLS if a certificate and its key are given."""
    s3 = S3()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"s3": s3}))
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that hang up are what is tested
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    s3.endpoint = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield s3
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(folder: pathlib.Path, address: str = "127.0.0.1") -> tuple[pathlib.Path, pathlib.Path]:
    """A self-signed certificate for an IP address, and its key."""
    certificate, key = folder / f"{address}.crt", folder / f"{address}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=pretend", "-addext", f"subjectAltName=IP:{address}"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key

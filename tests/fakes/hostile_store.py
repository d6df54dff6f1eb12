"""An object store that means harm: each mode is one way to keep whoever asks it busy for ever, to fill their memory, or to lead them elsewhere.

It speaks to sockets, not through a library of ours, so it can send what no library would. What a mode does not spoil is answered honestly: one
object, `s3://models/fraud/1/x`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import itertools
import socketserver
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from modelyard.content import location

CREDENTIALS: Final = location.Credentials("PRETENDACCESSKEY", "pretend-secret-key")
DATA: Final = b"weights" * 1000
KEY: Final = "fraud/1/x"
ETAG: Final = hashlib.md5(DATA).hexdigest()
_BLOCK: Final = b"a" * 65_536


@dataclasses.dataclass
class Asked:
    """One request, and the way back."""

    store: Store
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    send: Callable[[bytes], None]

    @property
    def is_list(self) -> bool:
        return self.method == "GET" and "list-type" in self.query

    @property
    def is_object(self) -> bool:
        return (
            self.method == "GET" and urllib.parse.unquote(self.path).endswith(KEY) and not self.query.keys() & {"legal-hold", "retention"}
        )

    def answer(self, status: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        """Send an answer with the usual headers; `length` may lie."""
        named = {"Content-Type": "application/xml", "Content-Length": str(len(body) if length is None else length)}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
        self.send(f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + (b"" if self.method == "HEAD" else body))

    def listed(self, rows: str, more: str = "") -> None:
        """Send a page of a listing."""
        on = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{more}</NextContinuationToken>" if more else ""
        self.answer(200, f"<ListBucketResult><Name>models</Name>{rows}{on}</ListBucketResult>".encode())

    def pour(self, blocks: Iterable[bytes]) -> None:
        """Send without end, or until nobody listens."""
        for block in blocks:
            if self.store.stop.is_set():
                return
            self.send(block)

    def drip(self, text: bytes = b"a", seconds: float = 0.05) -> None:
        """Send a byte now and then, for ever."""
        while not self.store.stop.wait(seconds):
            self.send(text)

    def rest(self) -> None:
        """Say nothing any more, and keep the line."""
        self.store.stop.wait()


@dataclasses.dataclass
class Store:
    """A running store."""

    mode: str
    endpoint: str = ""
    asked: list[str] = dataclasses.field(default_factory=list)
    """Methods and paths."""
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)

    @property
    def address(self) -> location.Address:
        return location.Address(self.endpoint, credentials=CREDENTIALS)


def honest(asked: Asked) -> None:
    """As any store answers."""
    if asked.is_list:
        asked.listed(_row())
    elif asked.query.keys() & {"object-lock", "legal-hold", "retention"} and asked.method == "GET":
        asked.answer(404, b"<Error><Code>NoSuchObjectLockConfiguration</Code></Error>")
    elif asked.method == "DELETE":
        asked.answer(204)
    else:
        asked.answer(200, DATA, len(DATA), ETag=f'"{ETAG}"')


def _row(key: str = KEY, size: object = len(DATA)) -> str:
    return f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;{ETAG}&quot;</ETag></Contents>"


def _head(status: int, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} Said", "Content-Type: application/xml", *lines, "", ""]).encode()


def _nested(levels: int) -> bytes:
    return b"<a>" * levels + b"</a>" * levels


# These take longer to make than anybody waits.
_BOMB: Final = gzip.compress(b"<a/>" * (16 << 20), 6)
"""64 MiB that fit in 64 KiB."""
_ATTRIBUTES: Final = b"<ListBucketResult" + b"".join(b' a%x=""' % number for number in range(350_000)) + b"/>"
_ELEMENTS: Final = b"<ListBucketResult>" + b"<a/>" * 900_000 + b"</ListBucketResult>"


def _elsewhere(asked: Asked) -> None:
    asked.answer(307, b"<Error><Code>TemporaryRedirect</Code></Error>", Location=f"http://localhost:{asked.store.endpoint[-5:]}/led-away")


def _pages(asked: Asked, rows: Callable[[int], str]) -> None:
    number = int(asked.query.get("continuation-token", "0"))
    asked.listed(rows(number), str(number + 1))


def _thousand(page: int) -> str:
    return "".join(_row(f"fraud/1/{page:09}/{number:04}") for number in range(1000))


_LAUGHS = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 9))
_DOCTYPE = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "ha">{_LAUGHS}]><ListBucketResult><Name>&l8;</Name></ListBucketResult>'.encode()


def _slowly(asked: Asked) -> None:
    asked.store.stop.wait(0.1)
    _pages(asked, lambda page: _row(f"fraud/1/{page}"))


def _said(text: bytes, then: Callable[[Asked], None]) -> Callable[[Asked], None]:
    """How an answer begins, and what comes of it."""

    def mode(asked: Asked) -> None:
        asked.send(text)
        then(asked)

    return mode


ALWAYS: Final[Mapping[str, Callable[[Asked], None]]] = {
    "never answers": lambda asked: asked.rest(),
    "half an answer": _said(b"HTTP/1.1 200 OK\r\nContent-Le", lambda asked: asked.rest()),
    "headers that drip": _said(b"HTTP/1.1 200 OK\r\nX-A: ", lambda asked: asked.drip()),
    "headers without end": _said(
        b"HTTP/1.1 200 OK\r\n", lambda asked: asked.pour(f"X-{number}: {'a' * 4000}\r\n".encode() for number in itertools.count())
    ),
    "a header line without end": _said(b"HTTP/1.1 200 OK\r\nX-A: ", lambda asked: asked.pour(itertools.repeat(_BLOCK))),
    "interim answers without end": lambda asked: asked.pour(itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "a refusal without end": _said(_head(403, "Connection: close"), lambda asked: asked.pour(itertools.repeat(_BLOCK))),
    "a refusal that drips": _said(_head(403, "Content-Length: 9999"), lambda asked: asked.drip()),
    "a refusal of a terabyte": _said(_head(403, f"Content-Length: {1 << 40}"), lambda asked: asked.rest()),
    "an error without end": _said(_head(500, "Connection: close"), lambda asked: asked.pour(itertools.repeat(_BLOCK))),
    "a refusal with a chunk of a terabyte": _said(
        _head(403, "Transfer-Encoding: chunked") + b"FFFFFFFFFF\r\n", lambda asked: asked.pour(itertools.repeat(_BLOCK))
    ),
    "a refusal with trailers without end": _said(
        _head(403, "Transfer-Encoding: chunked") + b"0\r\n", lambda asked: asked.pour(itertools.repeat(b"X-A: a\r\n"))
    ),
    "a refusal that is a bomb": lambda asked: asked.answer(403, _BOMB, Content_Encoding="gzip"),
    "leads elsewhere": _elsewhere,
}
"""Whatever is asked."""

LISTING: Final[Mapping[str, Callable[[Asked], None]]] = {
    "empty pages for ever": lambda asked: _pages(asked, lambda _: ""),
    "the same page for ever": lambda asked: asked.listed(_row(), "1"),
    "objects for ever": lambda asked: _pages(asked, _thousand),
    "an object a page, slowly": _slowly,
    "a page without end": _said(
        _head(200, "Connection: close") + b"<ListBucketResult>", lambda asked: asked.pour(itertools.repeat(_row().encode() * 500))
    ),
    "a page that drips": _said(_head(200, "Content-Length: 99999"), lambda asked: asked.drip()),
    "a page of deep XML": lambda asked: asked.answer(200, b"<ListBucketResult>" + _nested(100_000) + b"</ListBucketResult>"),
    "a page of many elements": lambda asked: asked.answer(200, _ELEMENTS),
    "a page of many attributes": lambda asked: asked.answer(200, _ATTRIBUTES),
    "a page with entities": lambda asked: asked.answer(200, _DOCTYPE),
    "a page that is a bomb": lambda asked: asked.answer(200, _BOMB, Content_Encoding="gzip"),
    "a key of a megabyte": lambda asked: asked.listed(_row(f"fraud/1/{'k' * (1 << 20)}")),
    "an object of less than nothing": lambda asked: asked.listed(_row(size=-5)),
}
"""When a listing is asked for."""

OBJECT: Final[Mapping[str, Callable[[Asked], None]]] = {
    "an object that drips": _said(_head(200, f"Content-Length: {len(DATA)}", f'ETag: "{ETAG}"'), lambda asked: asked.drip()),
    "an object that stops": _said(_head(200, f"Content-Length: {len(DATA)}", f'ETag: "{ETAG}"') + DATA[:10], lambda asked: asked.rest()),
    "an object larger than any": _said(
        _head(200, f"Content-Length: {1 << 60}", f'ETag: "{ETAG}"'), lambda asked: asked.pour(itertools.repeat(_BLOCK))
    ),
    "an object of a negative length": _said(
        _head(200, "Content-Length: -5", f'ETag: "{ETAG}"'), lambda asked: asked.pour(itertools.repeat(_BLOCK))
    ),
    "an object without a length": _said(
        _head(200, "Connection: close", f'ETag: "{ETAG}"'), lambda asked: asked.pour(itertools.repeat(_BLOCK))
    ),
    "an object in chunks without end": _said(
        _head(200, f"Content-Length: {len(DATA)}", "Transfer-Encoding: chunked", f'ETag: "{ETAG}"'),
        lambda asked: asked.pour(itertools.repeat(b"1;" + b"x" * 4000 + b"\r\na\r\n")),
    ),
    "an object shorter than it says": lambda asked: asked.answer(200, DATA[:-1], len(DATA), ETag=f'"{ETAG}"', Connection="close"),
    "an etag without end": lambda asked: asked.answer(200, DATA, ETag=f'"{"e" * 40_000}"'),
}
"""When the object is asked for."""


def _in_pieces(asked: Asked) -> None:
    asked.send(_head(200, f"Content-Length: {len(DATA)}", f'ETag: "{ETAG}"'))
    for begin in range(0, len(DATA), 350):
        asked.store.stop.wait(0.02)
        asked.send(DATA[begin : begin + 350])


HARMLESS: Final[Mapping[str, Callable[[Asked], None]]] = {"honest": honest, "slow": _in_pieces}
"""When the object is asked for, by those who wait for what is merely slow."""

MODES: Final = (*ALWAYS, *LISTING, *OBJECT)


class _Handler(socketserver.StreamRequestHandler):
    store: Store

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while not self.store.stop.is_set() and (asked := self._read()) is not None:
                self._act(asked)

    def _read(self) -> Asked | None:
        words = self.rfile.readline(65_536).decode().split()
        if len(words) < 2:
            return None
        headers: dict[str, str] = {}
        while line := self.rfile.readline(65_536).decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        self.rfile.read(int(headers.get("content-length", "0")))
        url = urllib.parse.urlsplit(words[1])
        self.store.asked.append(f"{words[0]} {url.path}")
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        return Asked(self.store, words[0], url.path, query, headers, self.connection.sendall)

    def _act(self, asked: Asked) -> None:
        mode = self.store.mode
        if mode in ALWAYS:
            ALWAYS[mode](asked)
        elif mode in LISTING and asked.is_list:
            LISTING[mode](asked)
        elif mode in OBJECT and asked.is_object:
            OBJECT[mode](asked)
        else:
            (HARMLESS.get(mode, honest) if asked.is_object else honest)(asked)
            return
        # What was spoilt once is not to be relied on for a second request.
        raise ValueError("spoilt")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128


@contextlib.contextmanager
def run(mode: str) -> Iterator[Store]:
    """Run one; a mode of HARMLESS is one as well."""
    store = Store(mode)
    server = _Server(("127.0.0.1", 0), type("Bound", (_Handler,), {"store": store}))
    store.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        store.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()

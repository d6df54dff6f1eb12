"""HTTP to object stores that may be hostile: every answer is bounded in time, rate, headers and bytes, never decompressed, never redirected.

The bounds sit below the HTTP library, where bytes come off the socket, so they hold whatever the library reads: interim answers, headers, error
texts that it drains before it tries again, chunk extensions, trailers. Only time spent waiting for the store counts, not time in which
this process has something else to do. A store that breaks a bound is not asked again for the same request.
"""

from __future__ import annotations

import dataclasses
import http.client
import io
import socket
import time
from typing import Any, Final
from xml.parsers import expat

import urllib3
from urllib3 import connection, connectionpool
from urllib3 import exceptions as http_error

_SLICE: Final = 1 << 16
"""Bytes of a small answer that are read, or checked as XML, at once."""
_ADDRESSES: Final = 4
"""The most addresses of one name that are tried."""
_SLOW_METHODS: Final = {"POST": 10}
"""Factor on `Limits.answer` for completing a multipart upload, which takes a store long."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What a store may ask of us. Seconds and bytes; listed for people in the chart's manual."""

    connect: float = 5.0
    silence: float = 30.0
    """Longest time without a single byte."""
    answer: float = 60.0
    """Longest wait for an answer other than an object's bytes, and for the headers of an object."""
    window: float = 60.0
    """An object's bytes: every `window` seconds of waiting must bring `window * rate` bytes, or the end."""
    rate: int = 16 << 10
    """Bytes a second."""
    headers: int = 64 << 10
    body: int = 4 << 20
    """Bytes of an answer other than an object; a page of 1,000 keys of the greatest length has 3.7 MB."""
    error: int = 64 << 10
    """Bytes of an error's text."""
    elements: int = 40_000
    """XML elements and attributes of one answer."""
    depth: int = 16
    """Levels of XML."""
    objects: int = 1000
    """A listing: every `window` seconds of waiting must bring this many objects, or the end."""
    empty_pages: int = 100
    """Empty pages of a listing in a row that announce further pages."""
    object: int = 50 << 40
    """Bytes of one object: S3 has no larger ones."""


LIMITS: Final = Limits()
"""The limits of every store, including the operator's own."""


class Exceeded(Exception):
    """A store exceeds a limit; the message names the limit, as the end of a sentence that begins with the store."""


class Client(urllib3.PoolManager):
    """A pool of connections to one store, with limits."""

    def __init__(self, limits: Limits, *, connections: int, retries: urllib3.Retry, **options: Any) -> None:
        super().__init__(
            num_pools=4,
            maxsize=connections,
            timeout=urllib3.Timeout(connect=limits.connect, read=limits.silence),
            retries=retries,
            **options,
        )
        self.limits = limits
        self.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}

    def _new_pool(self, *args: Any, **options: Any) -> connectionpool.HTTPConnectionPool:
        pool = super()._new_pool(*args, **options)
        assert isinstance(pool, _PlainPool | _SecurePool)
        pool.limits = self.limits
        return pool

    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
        """Send one request; an answer other than an object's bytes is read, and is well-formed XML within limits, or no XML.

        Raises:
            Exceeded: the store is beyond a limit.
        """
        del redirect  # a store on the allow-list must not send us elsewhere
        response = super().urlopen(method, url, redirect=False, **{**options, "decode_content": False})
        if options.get("preload_content", True) or not _succeeded(response.status):
            check(response.data, self.limits)
        return response


def check(document: bytes, limits: Limits) -> None:
    """Refuse XML that costs much more than its bytes; the caller handles text that is no XML.

    Raises:
        Exceeded: it declares a document type (and so entities), or has too many levels, elements or attributes, or a tag without end.
    """
    level = count = 0

    def start(_name: str, attributes: dict[str, str]) -> None:
        nonlocal level, count
        level, count = level + 1, count + 1 + len(attributes)
        if level > limits.depth:
            raise Exceeded(f"nests XML deeper than {limits.depth} levels")
        if count > limits.elements:
            raise Exceeded(f"answers with more than {limits.elements:,} XML elements")

    def end(_name: str) -> None:
        nonlocal level
        level -= 1

    def doctype(*_: object) -> None:
        raise Exceeded("answers with an XML document type, which S3 has not and which is not read")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, doctype
    try:
        for begin in range(0, len(document), _SLICE):
            parser.Parse(document[begin : begin + _SLICE], False)
            if begin - parser.CurrentByteIndex > _SLICE:
                raise Exceeded(f"answers with an XML tag of more than {_size(_SLICE)}")
    except expat.ExpatError:
        return


class _Wire(io.RawIOBase):
    """Counts the bytes and the time of one answer on the socket."""

    def __init__(self, sock: socket.socket, limits: Limits, seconds: float) -> None:
        self._raw = sock.makefile("rb", buffering=0)
        self._limits = limits
        self._waited = 0.0
        self._came = 0
        self._streams = False
        self._most: float = seconds
        self._seconds = seconds
        self._remaining = limits.headers
        self._excess = f"answers with more than {_size(limits.headers)} of headers"

    def expect(self, count: int, excess: str) -> None:
        """Expect at most `count` further bytes, in the rest of the time."""
        self._remaining, self._excess = count, excess

    def stream(self, count: int) -> None:
        """Expect `count` bytes of an object: from here on the rate is judged."""
        self.expect(count, "sends more bytes of an object than it announced")
        self._streams, self._waited, self._came = True, 0.0, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read at least one byte; 0 at the end.

        Raises:
            Exceeded: the answer is too long, or too slow.
        """
        if self._remaining <= 0:
            raise Exceeded(self._excess)
        began = time.monotonic()
        count = self._raw.readinto(memoryview(buffer)[: self._remaining])
        self._waited += time.monotonic() - began
        self._remaining -= count or 0
        self._came += count or 0
        if self._streams:
            self._judge_rate()
        elif self._waited > self._seconds:
            raise Exceeded(f"has not finished its answer within {self._seconds:g} s")
        return int(count) if count is not None else None

    def _judge_rate(self) -> None:
        limits = self._limits
        if self._waited < limits.window:
            return
        if self._came < limits.window * limits.rate:
            least = f"{_size(limits.rate)} a second over {limits.window:g} s"
            raise Exceeded(f"sends an object more slowly than {least}")
        self._waited, self._came = 0.0, 0

    def close(self) -> None:
        """Close the socket's file."""
        if not self.closed:
            self._raw.close()
        super().close()


class _Tap:
    """The part of a socket that `http.client` needs to read an answer: its file."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(self._wire)


class _Answer(http.client.HTTPResponse):
    """One answer, bounded from its first byte on."""

    def __init__(self, sock: socket.socket, limits: Limits, method: str | None, *, whole: bool) -> None:
        self._limits = limits
        self._whole = whole
        self._wire = _Wire(sock, limits, limits.answer * _SLOW_METHODS.get(method or "", 1))
        super().__init__(_Tap(self._wire), method=method)  # type: ignore[arg-type]

    def begin(self) -> None:
        """Read the headers, and set how much may follow."""
        super().begin()
        limits = self._limits
        if self.chunked and not self._whole and _succeeded(self.status):
            raise Exceeded("sends an object in chunks, without saying how long it is")
        if not _succeeded(self.status):
            self._expect(limits.error, f"answers {self.status} with more than {_size(limits.error)} of text")
        elif self._whole:
            self._expect(limits.body, f"answers with more than {_size(limits.body)} where no object was asked for")
        else:
            self._wire.stream(self.length or 0)

    def _expect(self, count: int, excess: str) -> None:
        if (self.length or 0) > count:
            raise Exceeded(excess)
        self._wire.expect(count, excess)

    def read(self, amount: int | None = None) -> bytes:
        """Read as the library does; a whole answer piece by piece, as an announced length proves nothing."""
        if amount is not None:
            return super().read(amount)
        pieces = []
        while piece := super().read(_SLICE):
            pieces.append(piece)
        if self.length:
            raise http.client.IncompleteRead(b"".join(pieces), self.length)
        return b"".join(pieces)


class _Bounded:
    """A connection with bounded answers."""

    limits: Limits = LIMITS
    _response_options: Any
    _dns_host: str
    port: int

    def response_class(self, sock: socket.socket, *_: object, method: str | None = None) -> _Answer:
        """Create an answer; called by `http.client`."""
        return _Answer(sock, self.limits, method, whole=self._whole)

    def getresponse(self) -> Any:
        """Return the next answer."""
        self._whole = self._response_options is None or self._response_options.preload_content
        return super().getresponse()  # type: ignore[misc]

    def _new_conn(self) -> socket.socket:
        """Connect to one of the first few addresses of the host's name: a name may have thousands, each with its own timeout."""
        name = self._dns_host
        try:
            addresses = socket.getaddrinfo(name, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            return super()._new_conn()  # type: ignore[misc, no-any-return]  # says so in its own way
        trouble: http_error.HTTPError | None = None
        try:
            for *_, address in addresses[:_ADDRESSES]:
                self._dns_host = str(address[0])
                try:
                    return super()._new_conn()  # type: ignore[misc, no-any-return]
                except http_error.HTTPError as error:
                    trouble = error
        finally:
            self._dns_host = name
        raise trouble or http_error.NewConnectionError(self, "its name has no address")  # type: ignore[arg-type]


class _Plain(_Bounded, connection.HTTPConnection):  # type: ignore[misc]  # a method where http.client has a class
    """Plain HTTP."""


class _Secure(_Bounded, connection.HTTPSConnection):  # type: ignore[misc]  # as above
    """TLS."""


class _PlainPool(connectionpool.HTTPConnectionPool):
    """Connections of plain HTTP to one host."""

    ConnectionCls = _Plain
    limits: Limits = LIMITS

    def _new_conn(self) -> Any:
        return _limited(super()._new_conn(), self.limits)


class _SecurePool(connectionpool.HTTPSConnectionPool):
    """Connections of TLS to one host."""

    ConnectionCls = _Secure
    limits: Limits = LIMITS

    def _new_conn(self) -> Any:
        return _limited(super()._new_conn(), self.limits)


def _limited(conn: Any, limits: Limits) -> Any:
    conn.limits = limits
    return conn


def _succeeded(status: int) -> bool:
    return 200 <= status < 300


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB" if count >= 1 << 10 else f"{count} bytes"

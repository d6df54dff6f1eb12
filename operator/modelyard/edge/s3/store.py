"""S3, through the minio SDK: list, read pinned and verified, write, create only. The only module that knows the SDK.

Everything here is synchronous, for threads. Trouble that time can heal is `edge.Unavailable`, with a reason for each sort
of it and a message that names the endpoint, the bucket and the remedy. No message and no chained exception holds what a
store or a library said in its own words: those quote signed URLs.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import hashlib
import pathlib
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, Self
from urllib import parse
from xml.etree import ElementTree

import certifi
import minio
import urllib3
from minio import commonconfig, signer, versioningconfig
from minio import error as minio_error
from minio.credentials import credentials
from urllib3 import exceptions as http_error

from modelyard import edge
from modelyard.content import location
from modelyard.edge.s3 import bounded, errors, versions

CHUNK: Final = 1 << 20
"""Bytes read at a time; a quarter of it was measured to cost about a sixth more processor time."""
_PART: Final = 1 << 24
"""Smallest part of a multipart upload, bytes."""
_SMALL: Final = 128 << 20
"""Bytes of the largest object that is taken into memory: the operator's own, of which a snapshot of a large index is the largest."""
_AWS: Final = "s3.amazonaws.com"
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_RETRY: Final = urllib3.Retry(
    total=3,
    connect=1,
    read=1,
    status=2,
    other=0,
    redirect=False,  # a store on the allow-list must not send us elsewhere
    backoff_factor=0.2,
    status_forcelist=_BUSY,
    raise_on_status=False,
    respect_retry_after_header=False,
)
_ONCE: Final = urllib3.Retry(total=1, connect=1, read=0, status=0, other=0, redirect=False, raise_on_status=False)
"""For create-only writes: the second try of one that arrived would call itself the loser."""
_GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion", "MethodNotAllowed"})
"""The last is a delete marker's. A bare 404 is not enough: versitygw also answers 404 to unknown users."""
_UNLOCKED: Final = frozenset({"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest"})
_LIBRARY: Final = (bounded.Exceeded, minio_error.MinioException, http_error.HTTPError, ElementTree.ParseError, ValueError, OSError)


@dataclasses.dataclass(frozen=True, slots=True)
class Object:
    """An object in a store's answer: size in bytes, etag without quotes; a listing has no version."""

    key: str
    size: int
    etag: str
    version_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Retention:
    """Object Lock: nobody deletes this version of the object before `until`; in GOVERNANCE mode those with a special right may."""

    mode: str
    """GOVERNANCE or COMPLIANCE."""
    until: datetime.datetime


class Objects(Protocol):
    """The store methods that the ledger and the blobs need; `Store` has them, and so has a fake in memory."""

    def get(self, bucket: str, key: str) -> bytes | None:
        """A small object's bytes; None when it is not there."""

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Writes a small object, over one that may be there."""

    def create(self, bucket: str, key: str, data: bytes, retain: Retention | None = None) -> bool:
        """Write a small object only if the key is free; return False when it has (or, at some stores, had) an object."""

    def list(self, bucket: str, prefix: str = "") -> Iterator[Object]:
        """Every object whose key begins with the prefix, in order."""

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """List the folders directly below a prefix, each ending in `/`."""

    def locks(self, bucket: str) -> bool:
        """Whether the bucket has Object Lock, so that `retain` is effective."""


class Stream:
    """A read of one object: of one version, in constant memory, never shorter than announced. A context manager."""

    def __init__(self, response: urllib3.BaseHTTPResponse, described: Object, explain: Callable[[Exception], edge.Unavailable]) -> None:
        self.object = described
        self._response = response
        self._explain = explain

    def __iter__(self) -> Iterator[bytes]:
        """Yield all bytes; Unavailable(StoreTruncated) if they end too early."""
        remaining = self.object.size
        try:
            while remaining:
                # As stored: a Content-Encoding is left to the object's readers.
                chunk = self._response.read(min(CHUNK, remaining), decode_content=False)
                if not chunk:
                    raise http_error.ProtocolError("end of stream")
                remaining -= len(chunk)
                yield chunk
        except _LIBRARY as error:
            raise self._explain(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A connection with bytes left in it cannot be used again.
        if not self._response.closed:
            self._response.close()
        self._response.release_conn()


class Store:
    """One object store, with one set of credentials. Thread-safe; keeps connections open."""

    def __init__(self, address: location.Address, *, connections: int = 32, limits: bounded.Limits = bounded.LIMITS) -> None:
        self.address = address
        self._limits = limits
        with self._troubles(""):
            url = urllib3.util.parse_url(address.endpoint or f"https://{_AWS}")
            secure = url.scheme == "https"
            options: dict[str, Any] = {"ssl_context": self._trust()} if secure else {}
            self._http = bounded.Client(limits, connections=connections, retries=_RETRY, **options)
            keys = address.credentials
            self._client = minio.Minio(
                (url.netloc or "") + (url.path or "").rstrip("/"),
                access_key=keys.access_key if keys else None,
                secret_key=keys.secret_key if keys else None,
                session_token=keys.session_token if keys else None,
                secure=secure,
                region=address.region or "us-east-1",
                http_client=self._http,
            )

    def close(self) -> None:
        """Close idle connections; reads under way finish."""
        self._http.clear()

    def list(self, bucket: str, prefix: str = "") -> Iterator[Object]:
        """Yield every object whose key begins with the prefix, page by page."""
        for page in self._pages(bucket, prefix, ""):
            for key, size, etag in page.objects:
                yield Object(key, size, etag)

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """Return the prefixes directly below a prefix, each ending in `/`, without walking through them."""
        for page in self._pages(bucket, prefix, "/"):
            yield from page.folders

    def _pages(self, bucket: str, prefix: str, delimiter: str) -> Iterator[versions.Page]:
        """Yield the pages of a listing, as long as it makes progress.

        Raises:
            edge.Unavailable: also when there are empty pages without end, or objects too slowly.
        """
        limits = self._limits
        query = {"list-type": "2", "encoding-type": "url", "max-keys": "1000", "prefix": prefix, "delimiter": delimiter}
        token, empty, waited, came = "", 0, 0.0, 0
        while True:
            began = time.monotonic()
            with self._troubles(bucket):
                # The SDK's own listing requests page after page as long as they are empty.
                answer = self._ask("GET", bucket, query=query | ({"continuation-token": token} if token else {}))
                page = versions.read_page(answer.data)
                if page.more == token != "":
                    raise bounded.Exceeded("says that its listing goes on where it already was")
                count = len(page.objects) + len(page.folders)
                empty, waited, came = 0 if count else empty + 1, waited + time.monotonic() - began, came + count
                if page.more and empty >= limits.empty_pages:
                    raise bounded.Exceeded(f"lists {empty} empty pages in a row and says that more is to come")
                if page.more and waited >= limits.window:
                    if came < limits.objects:
                        raise bounded.Exceeded(f"lists fewer than {limits.objects:,} objects in {limits.window:g} s")
                    waited, came = 0.0, 0
            yield page
            if not page.more:
                return
            token = page.more

    def head(self, bucket: str, key: str, version_id: str | None = None) -> Object | None:
        """Return the description of an object, or of one version of it; None when it is missing.

        An answer to HEAD has no words: None may also be a missing bucket or user, so it is no proof. `open` tells.
        """
        with self._troubles(bucket, key):
            try:
                answer = self._ask("HEAD", bucket, key, query={"versionId": version_id} if version_id else {})
            except minio_error.ServerError as error:
                # A version id from another kind of store is malformed for this one, not missing.
                if error.status_code in ({400, 404, 405} if version_id else {404}):
                    return None
                raise
            return _described(key, answer, self._limits)

    def open(self, bucket: str, key: str, *, etag: str | None = None, version_id: str | None = None) -> Stream | None:
        """Start reading an object; None when it is missing.

        With an etag or a version it is that one or nothing: Unavailable(StoreReplaced) when it is gone or another is in its place.
        """
        pinned = etag is not None or version_id is not None
        with self._troubles(bucket, key):
            headers: dict[str, Any] = {"If-Match": f'"{etag}"'} if etag else {}
            try:
                response = self._client.get_object(bucket, key, request_headers=headers, version_id=version_id)
            except minio_error.S3Error as error:
                if error.response.status != 412 and error.code not in _GONE:
                    raise
                if pinned:
                    raise errors.replaced(self.address, bucket, key) from None
                return None
            try:
                described = _described(key, response, self._limits)
            except (ValueError, bounded.Exceeded):
                response.close()
                raise
            stream = Stream(response, described, lambda error: _cut(error, self.address, bucket, key))
            if etag and described.etag and described.etag != etag:
                stream.__exit__()
                raise errors.replaced(self.address, bucket, key)
            return stream

    def get(self, bucket: str, key: str) -> bytes | None:
        """A small object's bytes; None when it is not there."""
        stream = self.open(bucket, key)
        if stream is None:
            return None
        with stream:
            if stream.object.size > _SMALL:
                raise errors.beyond(self.address, bucket, f"has {stream.object.size:,} bytes at {key!a}, where at most {_SMALL:,} are read")
            return b"".join(stream)

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Writes a small object, over one that may be there."""
        self._write(bucket, key, data, {})

    def create(self, bucket: str, key: str, data: bytes, retain: Retention | None = None) -> bool:
        """Write a small object only if the key is free, with retention if given; return False when it has (or had) an object."""
        lock = {}
        if retain:
            until = retain.until.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            lock = {"x-amz-object-lock-mode": retain.mode, "x-amz-object-lock-retain-until-date": until}
        return self._write(bucket, key, data, {"If-None-Match": "*"} | lock)

    def locks(self, bucket: str) -> bool:
        """Whether the bucket has Object Lock. Call it before `create` with `retain`: versitygw writes first, and then reports that it cannot retain."""
        with self._troubles(bucket):
            try:
                # The SDK's own call fails at versitygw's answer.
                answer = self._ask("GET", bucket, query={"object-lock": ""})
            except minio_error.S3Error as error:
                if error.code in _UNLOCKED:
                    return False
                raise
        return b"<ObjectLockEnabled>Enabled<" in answer.data

    def versions(self, bucket: str, prefix: str = "") -> Iterator[versions.Version]:
        """Yield every version and delete marker of the objects whose keys begin with the prefix; in a bucket without versions, the objects."""
        query = {"versions": "", "prefix": prefix, "encoding-type": "url", "max-keys": "1000"}
        marker: Mapping[str, str] | None = {}
        while marker is not None:
            with self._troubles(bucket):
                # The SDK's own listing fails at versitygw's format of times.
                response = self._ask("GET", bucket, query=query | dict(marker))
                page, marker = versions.read(response.data)
            yield from page

    def hold(self, bucket: str, key: str, version_id: str | None, on: bool) -> None:
        """Set or lift the legal hold of one version; Unavailable when the bucket has no Object Lock."""
        query = {"legal-hold": ""} | ({"versionId": version_id} if version_id else {})
        body = f"<LegalHold><Status>{'ON' if on else 'OFF'}</Status></LegalHold>".encode()
        with self._troubles(bucket, key):
            self._ask("PUT", bucket, key, query=query, body=body)

    def held(self, bucket: str, key: str, version_id: str | None) -> bool:
        """Whether one version is under legal hold; False also when the bucket has no Object Lock."""
        with self._troubles(bucket, key):
            answer = self._ask_lock("legal-hold", bucket, key, version_id)
        return b"<Status>ON</Status>" in (answer or b"")

    def retention(self, bucket: str, key: str, version_id: str | None) -> Retention | None:
        """Return the retention of one version; None when it has none, or the bucket has no Object Lock."""
        with self._troubles(bucket, key):
            answer = self._ask_lock("retention", bucket, key, version_id)
            retention = None if answer is None else versions.read_retention(answer)
        return Retention(*retention) if retention else None

    def _ask_lock(self, what: str, bucket: str, key: str, version_id: str | None) -> bytes | None:
        """Return what Object Lock says of one version; None when the bucket has no Object Lock."""
        query = {what: ""} | ({"versionId": version_id} if version_id else {})
        try:
            return self._ask("GET", bucket, key, query=query).data
        except minio_error.S3Error as error:
            if error.code in _UNLOCKED:
                return None
            raise

    def _write(self, bucket: str, key: str, data: bytes, condition: dict[str, str]) -> bool:
        # The SDK's put_object turns unknown headers into user metadata.
        headers = condition | {"Content-Type": "application/octet-stream"}
        with self._troubles(bucket, key):
            for attempts_left in (2, 1, 0):
                try:
                    self._ask("PUT", bucket, key, headers=headers, body=data, retries=_ONCE if condition else _RETRY)
                except minio_error.S3Error as error:
                    if error.response.status == 412:
                        return False
                    # AWS: two writers at the same moment, of which neither has won yet.
                    if error.response.status != 409 or not attempts_left:
                        raise
                except minio_error.ServerError as error:
                    if error.status_code == 412:
                        return False
                    raise
                else:
                    return True
        raise AssertionError

    def _ask(
        self,
        method: str,
        bucket: str,
        key: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        retries: urllib3.Retry = _RETRY,
    ) -> urllib3.BaseHTTPResponse:
        """Send a signed request that the SDK does not support; raise unless it succeeds."""
        region = self.address.region or "us-east-1"
        url = self._client._base_url.build(  # noqa: SLF001 - knows which stores have the bucket in the host's name
            method=method, region=region, bucket_name=bucket, object_name=key, query_params=dict(query or {})
        )
        checksum = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        request_headers: dict[str, Any] = {**(headers or {}), "Host": url.netloc} | ({"Content-MD5": checksum} if method == "PUT" else {})
        if keys := self.address.credentials:
            now, sha256 = datetime.datetime.now(datetime.UTC), hashlib.sha256(body).hexdigest()
            request_headers |= {"x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"), "x-amz-content-sha256": sha256}
            if keys.session_token:
                request_headers["X-Amz-Security-Token"] = keys.session_token
            request_headers = signer.sign_v4_s3(
                method=method,
                url=url,
                region=region,
                headers=request_headers,
                credentials=credentials.Credentials(keys.access_key, keys.secret_key, keys.session_token),
                content_sha256=sha256,
                date=now,
            )
        response = self._http.request(
            method, parse.urlunsplit(url), body=body or None, headers=request_headers, redirect=False, retries=retries
        )
        if response.status in {200, 201, 204}:
            return response
        raise minio_error.S3Error.fromxml(response) if response.data else minio_error.ServerError("", response.status)

    def upload(self, bucket: str, key: str, path: pathlib.Path, progress: Callable[[int], object] | None = None) -> None:
        """Upload a file of any size, in parts when it is large; `progress` gets the number of bytes read since its last call."""
        size = path.stat().st_size
        part = max(_PART, -(-size // 9_000 >> 20) << 20)
        with self._troubles(bucket, key), path.open("rb") as data:
            self._client.put_object(bucket, key, data, size, part_size=part, progress=_Progress(progress) if progress else None)

    def delete(self, bucket: str, key: str, version_id: str | None = None) -> None:
        """Delete an object, or permanently one version of it."""
        with self._troubles(bucket, key):
            self._client.remove_object(bucket, key, version_id=version_id)

    def bucket_exists(self, bucket: str) -> bool:
        """Whether the bucket exists, and these credentials may see it."""
        with self._troubles(bucket):
            return bool(self._client.bucket_exists(bucket))

    def make_bucket(self, bucket: str, *, versioning: bool = False, object_lock: bool = False) -> None:
        """Create a bucket if it is missing; Object Lock must be requested now, as it cannot be added later."""
        with self._troubles(bucket):
            if not self._client.bucket_exists(bucket):
                self._client.make_bucket(bucket, object_lock=object_lock)
            if versioning and not object_lock:
                self._client.set_bucket_versioning(bucket, versioningconfig.VersioningConfig(commonconfig.ENABLED))

    def _trust(self) -> ssl.SSLContext:
        if self.address.ca_pem is None:
            return ssl.create_default_context(cafile=certifi.where())
        return ssl.create_default_context(cadata=self.address.ca_pem)

    @contextlib.contextmanager
    def _troubles(self, bucket: str, key: str = "") -> Iterator[None]:
        try:
            yield
        except _LIBRARY as error:
            raise _trouble(error, self.address, bucket, key) from None


class _Progress:
    """The progress bar that the SDK wants."""

    def __init__(self, tell: Callable[[int], object]) -> None:
        self._tell = tell

    def set_meta(self, object_name: str, total_length: int) -> None:
        """Ignore the name and the total."""

    def update(self, length: int) -> None:
        """Report further bytes."""
        self._tell(length)


def _described(key: str, response: urllib3.BaseHTTPResponse, limits: bounded.Limits) -> Object:
    headers = response.headers
    size, etag, version = headers.get("content-length", ""), headers.get("etag", "").strip('"'), headers.get("x-amz-version-id")
    if not (size.isascii() and size.isdecimal()) or max(len(etag), len(version or "")) > versions.LONGEST:
        raise ValueError("no Content-Length, or what is no etag or version")
    if len(size) > 16 or int(size) > limits.object:
        raise bounded.Exceeded(f"says that an object has {size[:20]} bytes, and S3 has none of more than {limits.object >> 40} TiB")
    return Object(key, int(size), etag, version)


def _cut(error: Exception, address: location.Address, bucket: str, key: str) -> edge.Unavailable:
    """Explain a failure in the middle of a read."""
    if isinstance(error, http_error.ProtocolError | ConnectionError):
        return errors.truncated(address, bucket, key)
    return _trouble(error, address, bucket, key)


def _trouble(error: Exception, address: location.Address, bucket: str, key: str) -> edge.Unavailable:
    """Convert the libraries' exceptions to ours; the only place that does."""
    match error:
        case bounded.Exceeded():
            return errors.beyond(address, bucket, str(error))
        case http_error.MaxRetryError(reason=Exception() as reason):
            return _trouble(reason, address, bucket, key)
        case minio_error.S3Error():
            return errors.answered(error.response.status, error.code or "", address, bucket, key)
        case minio_error.ServerError():
            return errors.answered(error.status_code, "", address, bucket, key)
        case minio_error.InvalidResponseError():
            return errors.answered(error._code, "", address, bucket, key)  # noqa: SLF001 - the SDK tells the status nowhere else
        case http_error.SSLError() | ssl.SSLError():
            return errors.untrusted(error, address)
        case http_error.NameResolutionError():
            return errors.silent(address, "its name is not known")
        case http_error.NewConnectionError() | http_error.ProtocolError() | OSError():
            cause = error.__cause__ or error.__context__ or error
            return errors.silent(address, getattr(cause, "strerror", None) or "the connection broke")
        case http_error.TimeoutError():
            return errors.silent(address, "it took too long")
        case _:
            return errors.strange(address, bucket)

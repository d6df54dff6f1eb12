"""The object store in the cluster, as much of S3 as making its buckets needs."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

_VERSIONED = b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>'


@dataclasses.dataclass(frozen=True)
class Store:
    """Where the store answers for this process, and its root credentials."""

    endpoint: str
    """Such as `http://10.96.1.2:7070`."""
    access_key: str
    secret_key: str = dataclasses.field(repr=False)
    region: str = "us-east-1"

    def create(self, bucket: str, *, lock: bool) -> None:
        """Make a bucket with versioning, and Object Lock if wanted; one that is there already is left as it is.

        Raises:
            ConnectionError: the store cannot be reached.
            OSError: it answered, but not with success.
        """
        try:
            self._put(f"/{bucket}", headers={"x-amz-bucket-object-lock-enabled": "true"} if lock else {})
        except urllib.error.HTTPError as error:
            if b"BucketAlready" not in error.read():
                raise
        self._put(f"/{bucket}", "versioning=", _VERSIONED)

    def _put(self, path: str, query: str = "", body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """One PUT with AWS Signature Version 4."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        digest = hashlib.sha256(body).hexdigest()
        signed = {"host": urllib.parse.urlsplit(self.endpoint).netloc, "x-amz-content-sha256": digest, "x-amz-date": now, **(headers or {})}
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        request = hashlib.sha256(f"PUT\n{path}\n{query}\n{lines}\n{names}\n{digest}".encode()).hexdigest()
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        key = f"AWS4{self.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.new(key, f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{request}".encode(), "sha256").hexdigest()
        authorization = f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        url = f"{self.endpoint}{path}?{query}" if query else f"{self.endpoint}{path}"
        put = urllib.request.Request(url, data=body, method="PUT", headers={**signed, "authorization": authorization})
        # No proxies, whatever the environment says: the store is in the cluster.
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(put, timeout=10) as answer:
                answer.read()
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError as error:
            raise ConnectionError(f"{self.endpoint}: {error.reason}") from error

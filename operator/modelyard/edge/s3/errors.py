"""Explain failures of object stores to people: endpoint, bucket, remedy, and never a credential."""

from __future__ import annotations

import re
import ssl
from typing import Final

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import location

_CREDENTIALS: Final = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "InvalidSecurity",
        "RequestTimeTooSkewed",
        "XAdminUserNotFound",
    }
)
_THROTTLED: Final = frozenset({"ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded", "Throttling", "ThrottlingException"})
_GATEWAY: Final = frozenset({502, 503, 504})
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9.]{0,63}")
"""An error code of a store that is passed on to people."""


def answered(status: int, code: str, address: location.Address, bucket: str, key: str = "") -> edge.Unavailable:
    """Explain an HTTP status and an S3 error code (empty: none)."""
    where = f"{address}, bucket {bucket}"
    code = code if _CODE.fullmatch(code) else ""
    answer = f"{status} {code}".strip()
    if code in _CREDENTIALS:
        return edge.Unavailable(Reason.STORE_FORBIDDEN, f"{where}: the credentials are not valid ({answer}); correct the Secret")
    if status in {401, 403}:
        who = "these credentials" if address.credentials else "anonymous requests (no credentials are given)"
        message = f"{where}: the store refuses {who} ({answer}); allow them to list the bucket and read its objects"
        return edge.Unavailable(Reason.STORE_FORBIDDEN, message)
    if code == "NoSuchBucket":
        return edge.Unavailable(Reason.STORE_BUCKET_MISSING, f"{where}: the bucket does not exist; make it, or correct the URI")
    if status == 429 or code in _THROTTLED or code.startswith("SlowDown"):
        return edge.Unavailable(Reason.STORE_THROTTLED, f"{where}: the store asks for fewer requests ({answer}); it is asked again later")
    if status in _GATEWAY and not code:
        return edge.Unavailable(Reason.STORE_UNREACHABLE, f"{address} does not answer: something before it says {status}; is the store up?")
    what = f" for {key!a}" if key else ""
    message = f"{where}: the store answers {answer}{what}; see the store's log, and check endpoint and region"
    return edge.Unavailable(Reason.STORE_FAILED, message)


def silent(address: location.Address, why: str) -> edge.Unavailable:
    """Explain a request without an answer."""
    message = f"{address} does not answer: {why}; check the endpoint and the network"
    return edge.Unavailable(Reason.STORE_UNREACHABLE, message)


def strange(address: location.Address, bucket: str) -> edge.Unavailable:
    """Explain an answer that is not S3, or a name that cannot be requested."""
    what = f"{address}, bucket {bucket}" if bucket else f"{address}"
    message = f"{what}: what answers there is not S3, or the endpoint, bucket, region or key is none; check endpoint, region and URI"
    return edge.Unavailable(Reason.STORE_FAILED, message)


def beyond(address: location.Address, bucket: str, what: str) -> edge.Unavailable:
    """Explain an answer beyond the limits for any store; `what` continues the sentence after the store's name."""
    message = f"{address}, bucket {bucket}: the store {what}; no more is read of it now: see to the store, or have the Model name another"
    return edge.Unavailable(Reason.STORE_LIMIT_EXCEEDED, message)


def truncated(address: location.Address, bucket: str, key: str) -> edge.Unavailable:
    """Explain an object with fewer bytes than announced."""
    message = f"the read of {_uri(bucket, key)} at {address} ended before the object did; it is read again"
    return edge.Unavailable(Reason.STORE_TRUNCATED, message)


def replaced(address: location.Address, bucket: str, key: str) -> edge.Unavailable:
    """Explain an object that was replaced while it was read."""
    message = f"{_uri(bucket, key)} at {address} was replaced or deleted while it was read; it is read again"
    return edge.Unavailable(Reason.STORE_REPLACED, message)


def untrusted(error: Exception, address: location.Address) -> edge.Unavailable:
    """Explain a TLS failure: the certificate, the bundle, or no TLS at all."""
    cause = error if isinstance(error, ssl.SSLError) else error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        message = (
            f"the TLS certificate of {address} is not trusted ({cause.verify_message}); "
            "name its authority in spec.storage.caBundle, or correct the endpoint or the certificate"
        )
        return edge.Unavailable(Reason.STORE_CERTIFICATE, message)
    if isinstance(error, ssl.SSLError):  # not from a connection: from reading the bundle
        return edge.Unavailable(Reason.STORE_CERTIFICATE, f"the CA bundle for {address} is not PEM; correct its key ca.crt")
    return silent(address, "it does not speak TLS, and an endpoint that is plain HTTP begins with http://")


def _uri(bucket: str, key: str) -> str:
    return ascii(f"s3://{bucket}/{key}")[1:-1]

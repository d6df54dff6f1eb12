"""Trouble with an object store: every sort is told apart, and no word of it holds a secret."""

from __future__ import annotations

import pathlib
import socket
import traceback
from collections.abc import Callable

import pytest

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.edge.s3 import store
from tests.fakes.s3 import CREDENTIALS, S3, Handler, certificate, run


def _status(status: int, code: str = "") -> Callable[[Handler, str], bool]:
    def fault(handler: Handler, _: str) -> bool:
        if code:
            handler.error(status, code)
        else:
            handler.answer(status, b"<html>no</html>", Content_Type="text/html")
        return True

    return fault


def _hang_up(handler: Handler, _: str) -> bool:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
    return True


def _nonsense(handler: Handler, _: str) -> bool:
    handler.answer(200, b"<html>welcome<br></html>")
    return True


@pytest.mark.parametrize(
    ("fault", "reason", "says"),
    [
        pytest.param(_status(403, "AccessDenied"), Reason.STORE_FORBIDDEN, "allow them to", id="403"),
        pytest.param(_status(403, "InvalidAccessKeyId"), Reason.STORE_FORBIDDEN, "correct the Secret", id="unknown key"),
        pytest.param(_status(403, "SignatureDoesNotMatch"), Reason.STORE_FORBIDDEN, "correct the Secret", id="wrong secret"),
        pytest.param(_status(400, "ExpiredToken"), Reason.STORE_FORBIDDEN, "correct the Secret", id="expired token"),
        pytest.param(_status(404, "NoSuchBucket"), Reason.STORE_BUCKET_MISSING, "does not exist", id="no bucket"),
        pytest.param(_status(503, "SlowDown"), Reason.STORE_THROTTLED, "fewer requests", id="503 SlowDown"),
        pytest.param(_status(429, "TooManyRequests"), Reason.STORE_THROTTLED, "fewer requests", id="429"),
        pytest.param(_status(503), Reason.STORE_UNREACHABLE, "503", id="a gateway's 503"),
        pytest.param(_status(500, "InternalError"), Reason.STORE_FAILED, "500 InternalError", id="500"),
        pytest.param(_status(301, "PermanentRedirect"), Reason.STORE_FAILED, "region", id="another region"),
        pytest.param(_nonsense, Reason.STORE_FAILED, "not S3", id="not S3"),
        pytest.param(_hang_up, Reason.STORE_UNREACHABLE, "does not answer", id="hangs up"),
    ],
)
@pytest.mark.parametrize("call", ["list", "get", "create"])
def test_an_answer_that_is_no_help(s3: S3, fault: Callable[[Handler, str], bool], reason: Reason, says: str, call: str) -> None:
    """Whatever is asked, the reason is the same, endpoint and remedy are named, and nothing is quoted."""
    s3.fault = fault
    calls: dict[str, Callable[[store.Store], object]] = {
        "list": lambda client: list(client.list("models", "fraud/")),
        "get": lambda client: client.get("models", "fraud/1/a"),
        "create": lambda client: client.create("models", "fraud/1/a", b"x"),
    }
    if call != "list" and fault is _nonsense:
        calls[call] = calls["list"]  # only a listing has to be read

    with pytest.raises(edge.Unavailable) as caught:
        calls[call](store.Store(s3.address))

    assert caught.value.reason == reason
    assert says in caught.value.message
    assert s3.endpoint in caught.value.message
    _no_secrets(caught.value)


def test_a_refusal_of_anonymous_requests_says_so(s3: S3) -> None:
    s3.fault = _status(403, "AccessDenied")

    with pytest.raises(edge.Unavailable, match="no credentials are given"):
        list(store.Store(location.Address(s3.endpoint)).list("models"))


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        address = location.Address(f"http://127.0.0.1:{taken.getsockname()[1]}", credentials=CREDENTIALS)

        with pytest.raises(edge.Unavailable, match="Connection refused") as caught:
            store.Store(address).create("models", "a", b"")

    assert caught.value.reason == Reason.STORE_UNREACHABLE
    _no_secrets(caught.value)


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(edge.Unavailable, match="name is not known") as caught:
        list(store.Store(location.Address("http://store.invalid:9000")).list("models"))

    assert caught.value.reason == Reason.STORE_UNREACHABLE


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1/path", "ftp://store", "store:9000", "http://"])
def test_an_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(edge.Unavailable, match="endpoint"):
        list(store.Store(location.Address(endpoint)).list("models"))


def test_a_certificate_is_trusted_only_with_its_authority(tmp_path: pathlib.Path) -> None:
    with run(certificate(tmp_path)) as s3:
        s3.put("models/a", b"hello")
        pem = (tmp_path / "127.0.0.1.crt").read_text()
        trusting = location.Address(s3.endpoint, credentials=CREDENTIALS, ca_pem=pem)
        assert store.Store(trusting).get("models", "a") == b"hello"

        with pytest.raises(edge.Unavailable, match="caBundle") as caught:
            store.Store(s3.address).get("models", "a")

    assert caught.value.reason == Reason.STORE_CERTIFICATE


def test_a_certificate_for_another_address(tmp_path: pathlib.Path) -> None:
    with run(certificate(tmp_path, "127.0.0.9")) as s3:
        address = location.Address(s3.endpoint, ca_pem=(tmp_path / "127.0.0.9.crt").read_text())

        with pytest.raises(edge.Unavailable, match="mismatch") as caught:
            store.Store(address).get("models", "a")

    assert caught.value.reason == Reason.STORE_CERTIFICATE


def test_a_bundle_that_is_no_pem() -> None:
    with pytest.raises(edge.Unavailable, match="not PEM") as caught:
        store.Store(location.Address("https://127.0.0.1:1", ca_pem="hello"))

    assert caught.value.reason == Reason.STORE_CERTIFICATE


def test_plain_http_where_tls_is_expected(s3: S3) -> None:
    address = location.Address(s3.endpoint.replace("http:", "https:"))

    with pytest.raises(edge.Unavailable, match="does not speak TLS") as caught:
        store.Store(address).get("models", "a")

    assert caught.value.reason == Reason.STORE_UNREACHABLE


def test_a_read_that_ends_too_early(s3: S3) -> None:
    def half(handler: Handler, _: str) -> bool:
        handler.answer(200, b"x" * 500_000, Content_Length="1000000", ETag='"e"')
        handler.close_connection = True
        return True

    s3.fault = half

    with pytest.raises(edge.Unavailable, match="ended before") as caught:
        store.Store(s3.address).get("models", "a")

    assert caught.value.reason == Reason.STORE_TRUNCATED


@pytest.mark.parametrize("then", ["replaced", "deleted"])
def test_an_object_that_is_not_the_one_that_was_listed(s3: S3, then: str) -> None:
    s3.put("models/a", b"before")
    client = store.Store(s3.address)
    (listed,) = client.list("models")
    s3.objects["models/a"] = [b"after!"] if then == "replaced" else []

    with pytest.raises(edge.Unavailable) as caught:
        client.open("models", "a", etag=listed.etag)

    assert caught.value.reason == Reason.STORE_REPLACED


def test_a_pinned_version_is_read_although_there_is_a_newer_one(s3: S3) -> None:
    s3.put("models/a", b"before")
    s3.put("models/a", b"after")
    client = store.Store(s3.address)

    stream = client.open("models", "a", version_id="1")

    assert stream is not None
    with stream:
        assert b"".join(stream) == b"before"


def test_a_busy_moment_is_waited_out(s3: S3) -> None:
    """One 503 is not worth telling anybody."""
    s3.put("models/a", b"hello")
    s3.fault = lambda handler, _: _status(503, "SlowDown")(handler, _) if len(s3.asked) == 1 else False

    assert store.Store(s3.address).get("models", "a") == b"hello"


def test_only_the_first_writer_wins(s3: S3) -> None:
    client = store.Store(s3.address)

    assert client.create("modelyard", "ledger/1", b"mine")
    assert not client.create("modelyard", "ledger/1", b"theirs")
    assert client.get("modelyard", "ledger/1") == b"mine"


def test_a_lost_answer_is_not_repeated(s3: S3) -> None:
    """A second try of a create-only write that did arrive would take its own first try for another writer."""

    def swallow(handler: Handler, asked: str) -> bool:
        s3.put(asked.removeprefix("PUT "), b"arrived")
        return _hang_up(handler, asked)

    s3.fault = swallow

    with pytest.raises(edge.Unavailable):
        store.Store(s3.address).create("modelyard", "ledger/1", b"mine")

    assert s3.count("PUT") == 1


def test_redirects_are_not_followed(s3: S3) -> None:
    """A store on the allow-list must not send the operator to one that is not."""
    with run() as other:
        other.put("models/a", b"elsewhere")

        def away(handler: Handler, _: str) -> bool:
            handler.answer(307, b"", Location=f"{other.endpoint}{handler.path}")
            return True

        s3.fault = away

        with pytest.raises(edge.Unavailable):
            store.Store(s3.address).get("models", "a")

        assert other.asked == []


def test_credentials_are_not_printed() -> None:
    address = location.Address("http://user:password@store:9000", credentials=location.Credentials("the-key", "the-secret", "the-token"))

    for text in (str(address), repr(address.credentials)):
        assert not any(secret in text for secret in ("the-key", "the-secret", "the-token", "password"))


def _no_secrets(error: BaseException) -> None:
    told = "".join(traceback.format_exception(error))
    assert CREDENTIALS.access_key not in told
    assert CREDENTIALS.secret_key not in told
    assert "X-Amz-Signature" not in told
    assert "AWS4-HMAC" not in told

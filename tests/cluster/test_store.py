"""What the operator relies on, of every store it is said to work with: versitygw and MinIO, as real processes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime
import hashlib
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import location, manifest
from modelyard.edge.artifact.prover import Prover
from modelyard.edge.bucket import blobs
from modelyard.edge.s3 import store
from modelyard.plan.modelversion import inspection
from tests.cluster import stores
from tests.fakes import s3

BELOW = "s3://models/fraud/"
ODD = [
    "--tag",
    "-rf",
    "a b+c  d",
    "ümlaut/日本語.bin",
    "🦊",
    "e\u0301",
    "é",
    "100%",
    "%2e%2e",
    "q?x=1&y",
    "#1",
    "a.b",
    "semi;colon",
    "~tilde",
    "quote'\"<&>",
]
MANY = 10_000
GIB = 1 << 30


@pytest.fixture(scope="module", params=stores.KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Running]:
    """A store with the buckets of an installation, and one without versions."""
    with stores.run(request.param, tmp_path_factory.mktemp(request.param)) as running:
        client = running.open()
        _wait_for(client)
        client.make_bucket("models", versioning=True)
        client.make_bucket("plain")
        client.make_bucket("modelyard", object_lock=True)
        yield running


def _wait_for(client: store.Store) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            client.bucket_exists("models")
        except edge.Unavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def _digest(files: Mapping[str, bytes]) -> str:
    return manifest.of({path: hashlib.sha256(data).hexdigest() for path, data in files.items()})


async def _found(prover: Prover, request: inspection.Request) -> inspection.Found:
    result = await prover.inspect(request)
    assert isinstance(result, inspection.Found), result
    return result


def test_making_a_bucket_twice(client: store.Store) -> None:
    client.make_bucket("models", versioning=True)
    client.make_bucket("modelyard", object_lock=True)

    assert client.bucket_exists("models")
    assert not client.bucket_exists("nowhere")


def test_a_version_stays_readable_under_a_newer_one(client: store.Store) -> None:
    client.put("models", "versions/a", b"before")
    before = client.head("models", "versions/a")
    client.put("models", "versions/a", b"after")
    after = client.head("models", "versions/a")

    assert before is not None
    assert after is not None
    assert before.version_id != after.version_id
    stream = client.open("models", "versions/a", version_id=before.version_id)
    assert stream is not None
    with stream:
        assert (b"before", before) == (b"".join(stream), stream.object)
    client.delete("models", "versions/a", before.version_id)
    assert client.head("models", "versions/a", before.version_id) is None
    with pytest.raises(edge.Unavailable) as caught:
        client.open("models", "versions/a", version_id=before.version_id)
    assert caught.value.reason == Reason.STORE_REPLACED


def test_a_version_id_of_another_store(client: store.Store) -> None:
    client.put("models", "versions/b", b"x")

    assert client.head("models", "versions/b", "01JZZZZZZZZZZZZZZZZZZZZZZZ") is None


def test_a_bucket_without_versions_tells_none(client: store.Store) -> None:
    client.put("plain", "a", b"x")

    assert (found := client.head("plain", "a")) is not None
    assert found.version_id is None


def test_the_etag_pins_a_read(client: store.Store) -> None:
    client.put("models", "etag/a", b"before")
    (listed,) = client.list("models", "etag/a")
    client.put("models", "etag/a", b"after")

    with pytest.raises(edge.Unavailable) as caught:
        client.open("models", "etag/a", etag=listed.etag)

    assert caught.value.reason == Reason.STORE_REPLACED


@pytest.mark.parametrize("bucket", ["models", "plain", "modelyard"])
def test_of_many_writers_one_creates(client: store.Store, bucket: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda number: client.create(bucket, "race/1", str(number).encode()), range(8)))

    assert won.count(True) == 1
    assert client.get(bucket, "race/1") == str(won.index(True)).encode()


def test_what_was_deleted_can_be_kept_again(client: store.Store) -> None:
    """versitygw refuses create-only writes for ever where a delete marker is; a blob must come back all the same."""
    name = blobs.Blobs(client, location.Place("modelyard", "")).keep(b"kept")
    client.delete("modelyard", f"blobs/sha256/{name.removeprefix('sha256:')}")
    again = blobs.Blobs(client, location.Place("modelyard", ""))

    assert again.get(name) is None
    assert again.keep(b"kept") == name
    assert blobs.Blobs(client, location.Place("modelyard", "")).get(name) == b"kept"


def test_every_version_is_listed(client: store.Store) -> None:
    """Also once there are delete markers, of odd names, and page by page; in a bucket without versions each object is its own."""
    keys = [f"listed/{name}" for name in ("a", "b c+ü", "d%20e", "f/g")]
    for key in keys:
        client.put("models", key, b"1")
        client.put("models", key, b"22")
        client.delete("models", key)
    client.put("plain", "listed/a", b"x")
    for number in range(1_100):
        client.put("models", "many/a", str(number).encode())

    found = list(client.versions("models", "listed/"))
    assert sorted({one.key for one in found}) == sorted(keys)
    for key in keys:
        mine = [one for one in found if one.key == key]
        assert [(one.deleted, one.latest, one.size) for one in mine] == [(True, True, 0), (False, False, 2), (False, False, 1)]
        assert len({one.version_id for one in mine}) == 3
    (one,) = client.versions("plain", "listed/")
    assert (one.key, one.version_id, one.latest, one.deleted) == ("listed/a", None, True, False)
    assert len({one.version_id for one in client.versions("models", "many/")}) == 1_100


def test_a_legal_hold(client: store.Store) -> None:
    client.put("modelyard", "held", b"x")
    found = client.head("modelyard", "held")
    assert found is not None
    assert not client.held("modelyard", "held", found.version_id)
    client.hold("modelyard", "held", found.version_id, on=True)
    assert client.held("modelyard", "held", found.version_id)
    with pytest.raises(edge.Unavailable):
        client.delete("modelyard", "held", found.version_id)
    client.hold("modelyard", "held", found.version_id, on=False)
    assert not client.held("modelyard", "held", found.version_id)
    client.delete("modelyard", "held", found.version_id)
    assert client.head("modelyard", "held", found.version_id) is None


def test_a_legal_hold_where_there_is_none(client: store.Store) -> None:
    client.put("plain", "held", b"x")

    assert not client.held("plain", "held", None)
    with pytest.raises(edge.Unavailable) as caught:
        client.hold("plain", "held", None, on=True)
    assert caught.value.reason == Reason.STORE_FAILED


def test_what_is_created_with_retention_stays(client: store.Store) -> None:
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
    assert client.create("modelyard", "retained", b"x", store.Retention("COMPLIANCE", until))
    assert not client.create("modelyard", "retained", b"y", store.Retention("COMPLIANCE", until))
    found = client.head("modelyard", "retained")
    assert found is not None
    with pytest.raises(edge.Unavailable):
        client.delete("modelyard", "retained", found.version_id)

    assert client.get("modelyard", "retained") == b"x"


def test_a_large_upload_goes_in_parts(client: store.Store, tmp_path: pathlib.Path) -> None:
    file, told = tmp_path / "large", list[int]()
    file.write_bytes(bytes(range(256)) * (40 << 12))
    client.upload("models", "upload/large", file, told.append)
    client.upload("models", "upload/empty", pathlib.Path("/dev/null"))

    assert sum(told) == file.stat().st_size
    assert client.get("models", "upload/large") == file.read_bytes()
    assert client.get("models", "upload/empty") == b""


async def test_odd_names(running: stores.Running, client: store.Store, prover: Prover) -> None:
    files = {path: path.encode() for path in ODD}
    for path, data in files.items():
        client.put("models", f"fraud/odd/{path}", data)

    found = await _found(prover, inspection.Request(running.address, f"{BELOW}odd/", BELOW))

    assert (_digest(files), len(files)) == (found.digest, found.files)
    again = inspection.Request(running.address, f"{BELOW}odd/", BELOW, found.digest, found.manifest, pinned=True)
    assert (await _found(prover, again)).manifest == found.manifest


async def test_a_prefix_that_is_anothers_beginning(running: stores.Running, client: store.Store, prover: Prover) -> None:
    for key in ("fraud/v1/a", "fraud/v10/a", "fraud/v1-rc/a", "fraud-evil/v1/a"):
        client.put("models", key, key.encode())

    for age in (0.0, 60.0):
        found = await _found(prover, inspection.Request(running.address, f"{BELOW}v1/", BELOW, max_listing_age=age))
        assert found.digest == _digest({"a": b"fraud/v1/a"})


async def test_zero_bytes_and_folders(running: stores.Running, client: store.Store, prover: Prover) -> None:
    for key in ("fraud/zero/", "fraud/zero/sub/", "fraud/zero/file"):
        client.put("models", key, b"")

    found = await _found(prover, inspection.Request(running.address, f"{BELOW}zero/", BELOW))

    assert found.digest == _digest({"file": b""})
    nothing = inspection.Request(running.address, f"{BELOW}nothing/", BELOW)
    assert isinstance(await prover.inspect(nothing), inspection.Missing)
    one = dataclasses.replace(nothing, uri=f"{BELOW}nothing/one")
    assert isinstance(await prover.inspect(one), inspection.Missing)


async def test_tampering_is_found_and_healed(running: stores.Running, client: store.Store, prover: Prover) -> None:
    client.put("models", "fraud/tamper/a", b"right")
    client.put("models", "fraud/tamper/b", b"right")
    found = await _found(prover, inspection.Request(running.address, f"{BELOW}tamper/", BELOW))
    recheck = inspection.Request(running.address, f"{BELOW}tamper/", BELOW, found.digest, found.manifest, pinned=True)

    client.put("models", "fraud/tamper/a", b"wrong")
    assert isinstance(await prover.inspect(recheck), inspection.Differs)
    client.put("models", "fraud/tamper/a", b"right")
    assert (await _found(prover, recheck)).digest == found.digest
    client.delete("models", "fraud/tamper/b")
    assert isinstance(await prover.inspect(recheck), inspection.Differs)
    client.put("models", "fraud/tamper/b", b"right")
    assert (await _found(prover, recheck)).digest == found.digest


@pytest.mark.slow
async def test_ten_thousand_files(running: stores.Running, client: store.Store, prover: Prover) -> None:
    files = {f"shard-{number % 10}/{number:05}": str(number).encode() for number in range(MANY)}
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda item: client.put("plain", f"many/{item[0]}", item[1]), files.items()))

    request = inspection.Request(running.address, "s3://plain/many/", "s3://plain/")
    found = await _found(prover, request)
    again = await _found(prover, dataclasses.replace(request, expected=found.digest, previous=found.manifest))

    assert (_digest(files), MANY, found.manifest) == (found.digest, found.files, again.manifest)
    assert again.seconds < found.seconds / 2


@pytest.mark.slow
async def test_eight_gibibytes_in_constant_memory(running: stores.Running, client: store.Store, prover: Prover) -> None:
    """One sparse file where the store keeps plain files; a GiB that was uploaded where it does not."""
    size = 8 * GIB if running.kind == "versitygw" else GIB
    sparse = (running.folder / "plain" if running.kind == "versitygw" else running.folder.parent) / "large.bin"
    with sparse.open("wb") as file:
        file.truncate(size)
    if running.kind != "versitygw":
        client.upload("plain", "large.bin", sparse)
    before, began = _resident(), time.monotonic()

    with _peak() as peak:
        found = await _found(prover, inspection.Request(running.address, "s3://plain/large.bin", "s3://plain/"))
    seconds = time.monotonic() - began

    print(f"{running.kind}: {size / GIB:.0f} GiB in {seconds:.1f} s, {(peak() - before) >> 10} KiB more memory at most")
    assert found.bytes == size
    assert peak() - before < 32 << 20
    client.delete("plain", "large.bin")


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        pytest.param(location.Credentials(stores.CREDENTIALS.access_key, "another-secret"), Reason.STORE_FORBIDDEN, id="wrong secret"),
        pytest.param(location.Credentials("nobody-we-know", "another-secret"), Reason.STORE_FORBIDDEN, id="unknown key"),
        pytest.param(None, Reason.STORE_FORBIDDEN, id="anonymous"),
    ],
)
async def test_credentials_that_are_refused(
    running: stores.Running, prover: Prover, credentials: location.Credentials | None, reason: Reason
) -> None:
    address = dataclasses.replace(running.address, credentials=credentials)

    for uri in (f"{BELOW}any/", f"{BELOW}any/one"):
        with pytest.raises(edge.Unavailable) as caught:
            await prover.inspect(inspection.Request(address, uri, BELOW))
        assert caught.value.reason == reason
        assert "another-secret" not in caught.value.message


async def test_a_bucket_that_does_not_exist(running: stores.Running, prover: Prover) -> None:
    for uri in ("s3://nowhere/fraud/1/", "s3://nowhere/fraud/1"):
        with pytest.raises(edge.Unavailable) as caught:
            await prover.inspect(inspection.Request(running.address, uri, "s3://nowhere/fraud/"))
        assert caught.value.reason == Reason.STORE_BUCKET_MISSING


def test_tls(tmp_path: pathlib.Path) -> None:
    with stores.run("versitygw", tmp_path, certificate=s3.certificate(tmp_path)) as running:
        client = running.open()
        client.make_bucket("models")
        client.put("models", "a", b"x")
        assert client.create("models", "b", b"x")
        assert not client.create("models", "b", b"x")
        assert client.get("models", "a") == b"x"

        with pytest.raises(edge.Unavailable) as caught:
            store.Store(dataclasses.replace(running.address, ca_pem=None)).get("models", "a")
        assert caught.value.reason == Reason.STORE_CERTIFICATE


def _resident() -> int:
    """Bytes of memory this process holds."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096


@contextlib.contextmanager
def _peak() -> Iterator[Callable[[], int]]:
    """The most memory this process held meanwhile, as a function."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")

    def peak() -> int:
        (line,) = (line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    yield peak

"""Artifacts are read whole once, then only where they changed; and what cannot be read is said."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.content.manifest import MAX_FILES, of, read_manifest, write_manifest
from modelyard.edge import metrics
from modelyard.edge.artifact.prover import Prover
from modelyard.edge.bucket import blobs
from modelyard.edge.s3 import store
from modelyard.plan.modelversion import inspection
from tests.fakes.s3 import CREDENTIALS, S3, Handler

URI, BELOW = "s3://models/fraud/1/", "s3://models/fraud/"
FILES = {"a": b"hello", "b/c": b"world" * 1000, "empty": b""}


def _digest(files: Mapping[str, bytes]) -> str:
    return of({path: hashlib.sha256(data).hexdigest() for path, data in files.items()})


def _store(s3: S3, files: Mapping[str, bytes], under: str = "models/fraud/1/") -> None:
    for path, data in files.items():
        s3.put(under + path, data)


def _prover(s3: S3) -> Prover:
    return Prover(blobs.Blobs(store.Store(s3.address), location.Place("modelyard", "")))


@pytest.fixture
async def prover(s3: S3) -> AsyncIterator[Prover]:
    prover = _prover(s3)
    yield prover
    prover.close()


def _request(s3: S3, **options: Any) -> inspection.Request:
    return dataclasses.replace(inspection.Request(s3.address, URI, BELOW), **options)


async def _found(prover: Prover, request: inspection.Request) -> inspection.Found:
    result = await prover.inspect(request)
    assert isinstance(result, inspection.Found), result
    return result


async def test_every_byte_is_read_and_the_manifest_kept(s3: S3, prover: Prover) -> None:
    _store(s3, FILES)
    s3.put("models/fraud/1/", b"")
    s3.put("models/fraud/1/b/", b"")

    found = await _found(prover, _request(s3))
    manifest = read_manifest(await prover.blob(found.manifest))

    assert (_digest(FILES), 3, 5005) == (found.digest, found.files, found.bytes)
    assert s3.objects[f"modelyard/blobs/sha256/{found.manifest.removeprefix('sha256:')}"] == [write_manifest(manifest)]
    assert [(file.path, file.size, file.version_id) for file in manifest.files] == [("a", 5, "1"), ("b/c", 5000, "1"), ("empty", 0, "1")]


async def test_the_bytes_that_were_read_are_counted(s3: S3, prover: Prover) -> None:
    files = {"a": b"12345", "b": b"678"}
    _store(s3, files)
    before = metrics.REGISTRY.get_sample_value("modelyard_verified_bytes_total") or 0

    await _found(prover, _request(s3, expected=_digest(files)))

    assert metrics.REGISTRY.get_sample_value("modelyard_verified_bytes_total") == before + 8


async def test_a_single_object_is_one_file_named_by_its_last_segment(s3: S3, prover: Prover) -> None:
    _store(s3, FILES)

    found = await _found(prover, _request(s3, uri=f"{URI}b/c"))

    assert found.digest == _digest({"c": FILES["b/c"]})
    assert s3.count("LIST") == 0


async def test_a_bucket_without_versions(s3: S3, prover: Prover) -> None:
    s3.versioning = False
    _store(s3, FILES)

    found = await _found(prover, _request(s3))

    assert {file.version_id for file in read_manifest(await prover.blob(found.manifest)).files} == {None}


@pytest.mark.parametrize("uri", [URI, f"{URI}a"])
async def test_nothing_is_there(s3: S3, prover: Prover, uri: str) -> None:
    assert isinstance(await prover.inspect(_request(s3, uri=uri)), inspection.Missing)


async def test_a_prefix_with_only_folders_is_empty(s3: S3, prover: Prover) -> None:
    s3.put("models/fraud/1/", b"")

    assert isinstance(await prover.inspect(_request(s3)), inspection.Missing)


async def test_what_is_outside_is_never_asked_for(s3: S3, prover: Prover) -> None:
    _store(s3, FILES, "models/fraud-evil/1/")

    for uri in ("s3://models/fraud-evil/1/", "s3://models/fraud/../fraud-evil/1/", "s3://secrets/x"):
        refused = await prover.inspect(_request(s3, uri=uri))
        assert isinstance(refused, location.Refused)
        assert refused.reason == Reason.PATH_NOT_ALLOWED

    assert s3.asked == []


async def test_a_prefix_that_is_anothers_beginning(s3: S3, prover: Prover) -> None:
    """Version 1 has none of version 10's files, in its own listing and in a shared one."""
    _store(s3, FILES)
    _store(s3, {"a": b"ten"}, "models/fraud/10/")
    _store(s3, {"a": b"dash"}, "models/fraud/1-rc/")

    for age in (0.0, 60.0):
        assert (await _found(prover, _request(s3, max_listing_age=age))).digest == _digest(FILES)


@pytest.mark.parametrize("path", ["a/../b", "x\ny", "back\\slash", "b", "s" * 256])
async def test_a_key_that_cannot_be_a_path(s3: S3, prover: Prover, path: str) -> None:
    _store(s3, FILES | {path: b"odd"})

    refused = await prover.inspect(_request(s3))

    assert isinstance(refused, location.Refused)
    assert refused.reason == Reason.PATH_REFUSED
    assert s3.count("GET") == 0


async def test_too_many_files(s3: S3, prover: Prover) -> None:
    _store(s3, {f"{number}": b"" for number in range(MAX_FILES + 1500)})

    refused = await prover.inspect(_request(s3))

    assert isinstance(refused, location.Refused)
    assert refused.reason == Reason.TOO_MANY_FILES
    assert s3.count("LIST") == MAX_FILES // s3.page + 1  # it stops where it knows


async def test_an_upload_in_progress_is_read_once(s3: S3, prover: Prover) -> None:
    """What was read of an unfinished artifact is not read again, and no manifest of it is kept."""
    request = _request(s3, expected=_digest(FILES))
    _store(s3, {"a": FILES["a"]})
    assert isinstance(await prover.inspect(request), inspection.Differs)
    _store(s3, {"b/c": FILES["b/c"]})
    assert isinstance(await prover.inspect(request), inspection.Differs)
    _store(s3, {"empty": b""})

    assert (await _found(prover, request)).digest == request.expected

    assert [1, 1] == [s3.count(f"GET models/fraud/1/{path}") for path in ("a", "b/c")]
    assert s3.count("PUT") == 1


async def test_a_recheck_reads_only_what_changed(s3: S3) -> None:
    """Also by a process that has just started: the manifest remembers."""
    _store(s3, FILES)
    first = _prover(s3)
    found = await _found(first, _request(s3))
    first.close()
    again, recheck = _prover(s3), _request(s3, expected=found.digest, previous=found.manifest)
    s3.asked.clear()

    same = await _found(again, recheck)
    assert (same.manifest, 0) == (found.manifest, s3.count("GET models"))

    s3.put("models/fraud/1/a", b"HELLO")
    assert isinstance(await again.inspect(recheck), inspection.Differs)
    assert ["GET models/fraud/1/a"] == [asked for asked in s3.asked if asked.startswith("GET models")]

    s3.put("models/fraud/1/a", FILES["a"])  # the right bytes again; the version that was verified is still there for pods
    s3.asked.clear()
    assert (found.manifest, 0) == ((await _found(again, recheck)).manifest, s3.count("GET models"))
    again.close()


async def test_full_reads_everything(s3: S3, prover: Prover) -> None:
    _store(s3, FILES)
    found = await _found(prover, _request(s3))

    await _found(prover, _request(s3, previous=found.manifest, full=True))

    assert s3.count("GET models") == 2 * len(FILES)


async def test_a_pinned_version_that_is_gone_is_replaced_by_the_newest(s3: S3, prover: Prover) -> None:
    """The same bytes under another version: pods must be given that one."""
    _store(s3, {"a": b"hello"})
    s3.put("models/fraud/1/a", b"hello")
    found = await _found(prover, _request(s3))
    s3.objects["models/fraud/1/a"].pop()

    healed = await _found(prover, _request(s3, previous=found.manifest, pinned=True))

    assert read_manifest(await prover.blob(healed.manifest)).files[0].version_id == "1"


@pytest.mark.parametrize("damage", ["deleted", "changed"])
async def test_a_manifest_that_was_lost_is_written_again(s3: S3, damage: str) -> None:
    _store(s3, FILES)
    first, second = _prover(s3), _prover(s3)
    found = await _found(first, _request(s3))
    blob = f"modelyard/blobs/sha256/{found.manifest.removeprefix('sha256:')}"
    kept = s3.objects.pop(blob)
    if damage == "changed":
        s3.put(blob, b"{}")

    with pytest.raises(edge.Unavailable) as caught:
        await second.blob(found.manifest)
    assert caught.value.reason == Reason.LEDGER_UNAVAILABLE
    again = await _found(second, _request(s3, previous=found.manifest))

    assert (found.manifest, kept[0]) == (again.manifest, s3.objects[blob][-1])
    first.close()
    second.close()


async def test_versions_rechecked_together_cost_one_listing(s3: S3, prover: Prover) -> None:
    """Two pages for 150 versions of one file each."""
    s3.page = 100
    for number in range(150):
        s3.put(f"models/fraud/{number}/a", str(number).encode())
    first = await asyncio.gather(*(prover.inspect(_request(s3, uri=f"{BELOW}{number}/")) for number in range(150)))
    s3.asked.clear()

    manifests = [found.manifest for found in first if isinstance(found, inspection.Found)]
    again = await asyncio.gather(
        *(
            prover.inspect(_request(s3, uri=f"{BELOW}{number}/", previous=manifest, max_listing_age=60.0))
            for number, manifest in enumerate(manifests)
        )
    )

    assert len(manifests) == 150
    assert manifests == [found.manifest for found in again if isinstance(found, inspection.Found)]
    assert s3.asked == ["LIST models/fraud/", "LIST models/fraud/"]


async def test_a_listing_that_failed_is_not_shared(s3: S3, prover: Prover) -> None:
    _store(s3, FILES)

    def forbidden(handler: Handler, asked: str) -> bool:
        if asked.startswith("LIST"):
            handler.error(403, "AccessDenied")
        return asked.startswith("LIST")

    s3.fault = forbidden
    with pytest.raises(edge.Unavailable):
        await prover.inspect(_request(s3, max_listing_age=60.0))
    s3.fault = lambda _handler, _asked: False

    await _found(prover, _request(s3, max_listing_age=60.0))


async def test_an_object_replaced_between_listing_and_reading(s3: S3, prover: Prover) -> None:
    _store(s3, FILES)

    def race(_: Handler, asked: str) -> bool:
        if asked == "GET models/fraud/1/a":
            s3.put("models/fraud/1/a", b"other")
        return False

    s3.fault = race

    with pytest.raises(edge.Unavailable, match="replaced") as caught:
        await prover.inspect(_request(s3))

    assert caught.value.reason == Reason.STORE_REPLACED


async def test_trouble_with_one_of_many_objects_ends_the_inspection(s3: S3, prover: Prover) -> None:
    _store(s3, {f"{number:03}": bytes(1 << 20) for number in range(16)})

    def truncated(handler: Handler, asked: str) -> bool:
        if asked == "GET models/fraud/1/003":
            handler.answer(200, bytes(1000), Content_Length=str(1 << 20))
            handler.close_connection = True
            return True
        return False

    s3.fault = truncated

    with pytest.raises(edge.Unavailable) as caught:
        await prover.inspect(_request(s3))

    assert caught.value.reason == Reason.STORE_TRUNCATED


async def test_the_operators_own_bucket_is_told_apart(s3: S3, prover: Prover) -> None:
    _store(s3, FILES)

    def no_bucket(handler: Handler, asked: str) -> bool:
        if "modelyard/" in asked:
            handler.error(404, "NoSuchBucket")
        return "modelyard/" in asked

    s3.fault = no_bucket

    with pytest.raises(edge.Unavailable, match="operator's own bucket") as caught:
        await prover.inspect(_request(s3))

    assert caught.value.reason == Reason.LEDGER_UNAVAILABLE


async def test_evidence(s3: S3, prover: Prover) -> None:
    """Proven; then asked about by HEAD only, until it changes."""
    s3.put("models/fraud/evidence/report.pdf", b"report")
    request = inspection.EvidenceRequest(s3.address, f"{BELOW}evidence/report.pdf", BELOW, hashlib.sha256(b"report").hexdigest())

    assert isinstance(await prover.prove_object(request), inspection.Proven)
    assert isinstance(await prover.prove_object(request), inspection.Proven)
    assert s3.count("GET") == 1
    s3.put("models/fraud/evidence/report.pdf", b"other!")
    assert isinstance(await prover.prove_object(request), inspection.Differs)
    s3.objects.clear()
    assert isinstance(await prover.prove_object(request), inspection.Missing)
    assert isinstance(await prover.prove_object(dataclasses.replace(request, uri="s3://models/other/x")), location.Refused)
    assert isinstance(await prover.prove_object(dataclasses.replace(request, uri=f"{BELOW}evidence/")), location.Refused)


@pytest.mark.parametrize("uri", [URI, f"{URI}a"])
async def test_a_user_that_the_store_no_longer_knows_is_not_a_missing_artifact(s3: S3, prover: Prover, uri: str) -> None:
    """versitygw answers 404 to unknown users: nothing may be quarantined for that."""
    _store(s3, FILES)
    found = await _found(prover, _request(s3, uri=uri))

    def unknown(handler: Handler, _: str) -> bool:
        handler.error(404, "XAdminUserNotFound")
        return True

    s3.fault = unknown

    with pytest.raises(edge.Unavailable) as caught:
        await prover.inspect(_request(s3, uri=uri, previous=found.manifest, pinned=True))

    assert caught.value.reason == Reason.STORE_FORBIDDEN


async def test_blobs_are_written_once(s3: S3, prover: Prover) -> None:
    name = await prover.keep_blob(b"template")

    assert await prover.keep_blob(b"template") == name
    assert await prover.blob(name) == b"template"
    assert s3.asked == [f"PUT modelyard/blobs/sha256/{name.removeprefix('sha256:')}"]


async def test_secrets_are_never_sent_in_the_clear(s3: S3, prover: Prover) -> None:
    _store(s3, FILES)

    await _found(prover, _request(s3))

    assert not any(CREDENTIALS.secret_key in request for request in s3.requests)

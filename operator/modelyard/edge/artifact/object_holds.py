"""Legal holds on the object versions of an artifact. Synchronous, for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import location, manifest
from modelyard.edge.bucket import blobs
from modelyard.edge.s3 import store
from modelyard.plan import finding
from modelyard.plan.modelversion import legal_hold

Pinned = tuple[str, str]
"""Key and version id."""


def carry_out(
    source: store.Store,
    blob_store: blobs.Blobs,
    request: legal_hold.Request,
    run_all: Callable[[Callable[[Pinned], Any], Iterable[Pinned]], Iterable[Any]],
) -> finding.Finding | None:
    """Do a step; return why it could not be done, if it could not.

    Args:
        source: the Model's store.
        blob_store: where manifests are.
        request: what to do.
        run_all: `map`, or a variant that works on several items at a time.
    """
    place = location.place(request.objects.uri)
    if place is None:
        return finding.Finding(Reason.HOLD_REFUSED, f"{request.objects.uri} is no URI of a folder or an object")
    bucket = place.bucket
    try:
        if request.step == legal_hold.Step.CLAIM and not source.locks(bucket):
            return finding.Finding(Reason.HOLD_UNSUPPORTED, f"not held: the bucket {bucket} has no Object Lock")
        others = {version for objects in request.others for version in pinned_versions(blob_store, objects)}
        versions = pinned_versions(blob_store, request.objects)
        if request.step == legal_hold.Step.CLAIM:
            return _claimed(source, bucket, [version for version in versions if version not in others], run_all)
        on = request.step == legal_hold.Step.SET
        for _ in run_all(
            lambda version: _hold(source, bucket, version, on=on), [version for version in versions if on or version not in others]
        ):
            pass
    except edge.Unavailable as trouble:
        if trouble.reason == Reason.STORE_FORBIDDEN:
            right = "s3:GetBucketObjectLockConfiguration, s3:GetObjectLegalHold and s3:PutObjectLegalHold"
            return finding.Finding(
                Reason.HOLD_REFUSED, f"the Model's credentials may not hold its objects: allow {right} in the bucket {bucket}"
            )
        return finding.Finding(
            Reason.HOLD_REFUSED, f"no legal hold could be {'lifted' if request.step == legal_hold.Step.LIFT else 'set'}: {trouble.message}"
        )
    return None


def pinned_versions(blob_store: blobs.Blobs, objects: legal_hold.Objects) -> list[Pinned]:
    """Return the object versions of an artifact, without those that were read before the bucket kept versions.

    Raises:
        edge.Unavailable: the manifest is gone, or the operator's bucket does not answer.
    """
    data, place = blob_store.get(objects.manifest), location.place(objects.uri)
    if data is None or place is None:
        raise edge.Unavailable(Reason.LEDGER_UNAVAILABLE, f"the operator's own bucket no longer has the manifest {objects.manifest}")
    files = manifest.read_manifest(data).files
    return [(f"{place.key}{file.path}" if place.is_prefix else place.key, file.version_id) for file in files if file.version_id]


def _claimed(
    source: store.Store, bucket: str, versions: list[Pinned], run_all: Callable[[Callable[[Pinned], Any], Iterable[Pinned]], Iterable[Any]]
) -> finding.Finding | None:
    foreign = sum(run_all(lambda version: source.held(bucket, *version), versions))
    if not foreign:
        return None
    message = f"{foreign} of {len(versions)} objects are under a legal hold that somebody else set: holds are left to them"
    return finding.Finding(Reason.HOLD_REFUSED, message)


def _hold(source: store.Store, bucket: str, version: Pinned, *, on: bool) -> None:
    try:
        source.hold(bucket, *version, on=on)
    except edge.Unavailable:
        if source.head(bucket, *version) is not None:
            raise
        # A deleted object needs no hold; the next inspection of the bytes reports it.

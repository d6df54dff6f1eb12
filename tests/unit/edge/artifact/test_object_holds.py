"""A hold that is refused says what to allow; one that the bucket cannot have says so."""

from __future__ import annotations

import pytest

from modelyard.api.reason import Reason
from modelyard.content import location, manifest
from modelyard.edge.artifact.object_holds import carry_out, pinned_versions
from modelyard.edge.bucket import blobs
from modelyard.edge.s3 import store
from modelyard.plan.modelversion import legal_hold
from tests.fakes.s3 import S3, Handler


@pytest.mark.parametrize(
    ("status", "code", "reason", "says"),
    [
        pytest.param(404, "ObjectLockConfigurationNotFoundError", Reason.HOLD_UNSUPPORTED, "has no Object Lock", id="no Object Lock"),
        pytest.param(403, "AccessDenied", Reason.HOLD_REFUSED, "s3:PutObjectLegalHold", id="may only read"),
        pytest.param(500, "InternalError", Reason.HOLD_REFUSED, "no legal hold could be set", id="trouble"),
    ],
)
def test_why_nothing_is_held(s3: S3, status: int, code: str, reason: Reason, says: str) -> None:
    client = store.Store(s3.address)
    kept = blobs.Blobs(client, location.Place("modelyard", ""))
    name = kept.keep(manifest.write_manifest(manifest.manifest([manifest.File("a", 1, "0" * 64, "e", "v1")])))

    def fault(handler: Handler, _: str) -> bool:
        if "object-lock" not in handler.path:
            return False
        handler.error(status, code)
        return True

    s3.fault = fault
    request = legal_hold.Request(s3.address, legal_hold.Step.CLAIM, legal_hold.Objects("s3://models/fraud/1/", name))
    why = carry_out(client, kept, request, map)

    assert why is not None
    assert why.reason == reason
    assert says in why.message


def test_the_object_versions_of_an_artifact(s3: S3) -> None:
    kept = blobs.Blobs(store.Store(s3.address), location.Place("modelyard", ""))
    files = [manifest.File("a", 1, "0" * 64, "e", "v1"), manifest.File("b", 1, "1" * 64, "e", None)]
    name = kept.keep(manifest.write_manifest(manifest.manifest(files)))
    single = kept.keep(manifest.write_manifest(manifest.manifest(files[:1])))

    assert pinned_versions(kept, legal_hold.Objects("s3://models/fraud/1/", name)) == [("fraud/1/a", "v1")]
    assert pinned_versions(kept, legal_hold.Objects("s3://models/fraud/a", single)) == [("fraud/a", "v1")]

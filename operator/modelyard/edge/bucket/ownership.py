"""The registry's owner, and whether the store can keep a ledger at all. Synchronous, for threads."""

from __future__ import annotations

from typing import Any, Final

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import canonical, jsontext, location
from modelyard.edge.s3 import store

FORMAT: Final = "modelyard.dev/registry/v1"
_PROBE: Final = b'{"format":"modelyard.dev/probe/v1"}'


def key(registry: str) -> str:
    """Return the key of the object that names the registry's owner."""
    return f"ledger/{registry}/registry.json"


def public_keys(registry: str) -> str:
    """Return the prefix of public keys, below the operator's prefix."""
    return f"ledger/{registry}/keys/"


def public_key(registry: str, key_id: str) -> str:
    """Return the key of a public key that signs records of the registry."""
    return f"{public_keys(registry)}{key_id}.pem"


def prove(bucket: store.Objects, where: location.Place, registry: str) -> None:
    """Prove that the store refuses the second create-only write of a key; raise Unavailable if it does not."""
    probe = f"{where.key}ledger/{registry}/probe.json"
    bucket.create(where.bucket, probe, _PROBE)
    if bucket.create(where.bucket, probe, _PROBE):
        message = (
            f"the operator's own bucket {where} ignores If-None-Match: two operators could write over each other's ledger, so none leads; "
            "use a store that refuses the second create-only write (AWS S3, versitygw, MinIO, Ceph from Squid on)"
        )
        raise edge.Unavailable(Reason.LEDGER_UNAVAILABLE, message)


def prove_lock(bucket: store.Objects, where: location.Place) -> None:
    """Prove that the bucket has Object Lock; raise Unavailable if it has not."""
    if not bucket.locks(where.bucket):
        message = (
            f"the operator's own bucket {where} has no Object Lock, so ledger.retention cannot be kept: make a bucket with Object Lock "
            "(it cannot be added at most stores), or leave ledger.retention empty"
        )
        raise edge.Unavailable(Reason.LEDGER_UNAVAILABLE, message)


def claim(bucket: store.Objects, where: location.Place, registry: str, cluster: str) -> int:
    """Claim an unowned registry for this cluster, and return its epoch; raise Unavailable(RegistryTaken) if another cluster owns it."""
    place = where.key + key(registry)
    bucket.create(where.bucket, place, _write(registry, cluster, 1))
    data = bucket.get(where.bucket, place)
    if data is None:
        message = (
            f"s3://{where.bucket}/{place} was deleted: whose registry it is is not known; `modelyard restore --take-over` says it anew"
        )
        raise edge.Unavailable(Reason.REGISTRY_TAKEN, message)
    owner, epoch = _read(data, place)
    if owner != cluster:
        raise registry_taken(where, registry, owner, cluster)
    return epoch


def registry_taken(where: location.Place, registry: str, owner: str, cluster: str) -> edge.Unavailable:
    """Return why the operator of a cluster may not lead."""
    message = (
        f"the registry {registry} in {where} belongs to the cluster {owner}, and this is {cluster}: name another registry, or take it over "
        "with `modelyard restore --take-over` when the other cluster is gone"
    )
    return edge.Unavailable(Reason.REGISTRY_TAKEN, message)


def owner(bucket: store.Objects, where: location.Place, registry: str) -> tuple[str | None, int]:
    """Return the registry's owner and its epoch; None and 0 when it has no owner."""
    place = where.key + key(registry)
    data = bucket.get(where.bucket, place)
    return _read(data, place) if data is not None else (None, 0)


def hand_over(bucket: store.Objects, where: location.Place, registry: str, cluster: str, epoch: int) -> None:
    """Make this cluster the registry's owner; the caller records it first."""
    bucket.put(where.bucket, where.key + key(registry), _write(registry, cluster, epoch))


def _write(registry: str, cluster: str, epoch: int) -> bytes:
    return canonical.dumps({"format": FORMAT, "registry": registry, "cluster": cluster, "epoch": epoch})


def _read(data: bytes, place: str) -> tuple[str, int]:
    try:
        raw: Any = jsontext.loads(data)
        if raw["format"] == FORMAT:
            return str(raw["cluster"]), int(raw["epoch"])
        why = f"its format is {raw['format']!r}"
    except (ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__} {error}"
    raise edge.Unavailable(Reason.REGISTRY_TAKEN, f"{place} cannot be read ({why}): whose registry it is is not known") from None

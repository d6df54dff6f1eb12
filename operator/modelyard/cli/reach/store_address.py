"""How this machine reaches the object store: what was typed, then the environment, then what the Model says."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

from modelyard import edge
from modelyard.api import meta, model
from modelyard.api.reason import Reason
from modelyard.cli.terminal import exits, validation
from modelyard.content import location

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def of(
    storage: model.Storage | None,
    endpoint: str | None,
    secret: Mapping[str, str] | None = None,
    ca_file: pathlib.Path | None = None,
    ca_pem: str | None = None,
) -> location.Address:
    """Return the address and credentials with which this machine reaches the store.

    Args:
        storage: the Model's spec.storage; None when no Model is involved.
        endpoint: the typed endpoint; it overrides all others.
        secret: credentials that take the place of the environment's.
        ca_file: PEM certificates to trust; else those of AWS_CA_BUNDLE, else `ca_pem`.
        ca_pem: what the Model's caBundle holds.

    Raises:
        exits.Stop: the environment has half of the credentials, an endpoint is no URL, or a file cannot be read.
    """
    env = os.environ
    url = endpoint or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or (storage.endpoint if storage else None)
    if url:
        validation.check(meta.Url, url, "the endpoint", show=False)
    region = (storage.region if storage else None) or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")
    if file := ca_file or (pathlib.Path(env["AWS_CA_BUNDLE"]) if env.get("AWS_CA_BUNDLE") else None):
        ca_pem = validation.read_text(file)
    return location.Address(url, region, credentials(env if secret is None else secret), ca_pem)


def credentials(source: Mapping[str, str]) -> location.Credentials | None:
    """Return the credentials of an environment or a Secret; None means anonymous.

    Raises:
        exits.Stop: one of the two halves is missing.
    """
    key, secret, token = (source.get(name, "") for name in _KEYS)
    if bool(key) != bool(secret):
        present, missing = _KEYS[:2] if key else _KEYS[1::-1]
        raise exits.usage(f"{present} is set and {missing} is not: set both, or neither to go anonymously")
    return location.Credentials(key, secret, token or None) if key else None


def explain(trouble: edge.Unavailable, address: location.Address, *, from_cluster: bool = False) -> exits.Stop:
    """Explain a failure of the store, and what the user can do about it."""
    hint = ""
    if trouble.cause == Reason.STORE_FORBIDDEN:
        if address.credentials is None:
            hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use --credentials-from-cluster if you may read the Model's Secret"
        elif not from_cluster:
            hint = "the credentials are those of AWS_ACCESS_KEY_ID in the environment"
        else:
            hint = "the credentials are those of the Model's Secret, which may be for reading only: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    elif trouble.cause == Reason.STORE_UNREACHABLE and ".svc" in (address.endpoint or ""):
        hint = f"{address} is a name inside the cluster: run `kubectl port-forward` to it, and give --endpoint http://localhost:PORT"
    elif trouble.cause == Reason.STORE_CERTIFICATE:
        hint = "or name the authority's certificates with --ca-file"
    no = trouble.cause in {Reason.STORE_FORBIDDEN, Reason.STORE_BUCKET_MISSING}
    code = exits.Code.NO if no else exits.Code.UNAVAILABLE
    return exits.Stop(code, f"{trouble.message}\n{hint}" if hint else trouble.message)

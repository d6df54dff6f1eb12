"""The key that signs the ledger's records, for the verbs that add one: from a file, else from the operator's Secret."""

from __future__ import annotations

import os
import pathlib
from typing import Final

from modelyard.cli.reach import operator_bucket
from modelyard.cli.terminal import exits
from modelyard.edge.bucket import keyring
from modelyard.edge.cluster import signing_key
from modelyard.ledger import signature

_FILE: Final = "MODELYARD_LEDGER__KEY_FILE"


def load(bucket: operator_bucket.OperatorBucket, context: str | None) -> keyring.Keys:
    """Return the operator's signing key and the keys that it trusts.

    Raises:
        exits.Stop: the key cannot be read or is invalid; says how to name another.
    """
    if named := os.environ.get(_FILE):
        file = pathlib.Path(named)
        try:
            return keyring.from_file(file)
        except OSError as error:
            raise exits.unreadable(error, file) from error
        except ValueError as error:
            raise exits.usage(f"{_FILE} names {file}: {error}") from None
    from modelyard.cli.reach import cluster  # noqa: PLC0415
    from modelyard.edge.cluster import client  # noqa: PLC0415  half a second, which whoever names a file need not wait for

    what = f"the Secret {bucket.signer} in namespace {operator_bucket.system()}"
    hint = f"a record is added with the key that signs them, which {what} holds: have somebody do it who may read that, or name a file in {_FILE}"
    try:
        secret = cluster.Registry(context, operator_bucket.system()).get(client.SECRET, bucket.signer)
    except exits.Stop as stop:
        raise exits.Stop(stop.code, f"{stop.message}\n{hint}") from None
    try:
        return signing_key.read(secret, f"{operator_bucket.system()}/{bucket.signer}")
    except ValueError as error:
        raise exits.Stop(exits.Code.NO, str(error)) from None


def trust(bucket: operator_bucket.OperatorBucket, context: str | None, key: signature.Key) -> bool:
    """Add a public key to those that the operator trusts; return False when it is trusted already.

    Raises:
        exits.Stop: the Secret cannot be read or written.
    """
    from modelyard.cli.reach import cluster  # noqa: PLC0415
    from modelyard.edge.cluster import client  # noqa: PLC0415

    keys = load(bucket, context)
    name = signature.key_id(key)
    if name in signature.by_id([keys.private.public_key(), *keys.trusted]):
        return False
    if os.environ.get(_FILE):
        raise exits.usage(f"{_FILE} is set: put the public key beside that file as {name}.pub, where the operator reads it too")
    cluster.Registry(context, operator_bucket.system()).patch(
        client.SECRET, bucket.signer, lambda _secret, _me: [signing_key.trusting(key)]
    )
    return True

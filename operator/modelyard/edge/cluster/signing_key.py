"""The key that signs the ledger's records: created once, and kept in a Secret of the operator's namespace."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge.bucket import keyring
from modelyard.edge.cluster import client
from modelyard.ledger import signature

PRIVATE: Final = "ed25519.pem"
"""The entry of the Secret that holds the private key, as PKCS8 in PEM."""
PUBLIC: Final = "public.pem"
"""The public key, for people; other entries that end in `.pub` hold public keys of earlier operators, whose records are trusted as well."""
_GIVEN: Final = "ledger.pem"
"""The entry's name in a Secret that a person created."""


def read(secret: Mapping[str, Any], name: str) -> keyring.Keys:
    """Read the keys of a Secret.

    Raises:
        ValueError: an entry is missing or holds something else; the message names it.
    """
    data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
    private_pem = data.get(PRIVATE) or data.get(_GIVEN)
    if private_pem is None:
        raise ValueError(f"the Secret {name} has no entry {PRIVATE}: put the private key back, or delete the Secret and a new key is made")
    try:
        private = signature.signer(private_pem)
        trusted = [key for entry in sorted(data) if entry.endswith(keyring.SUFFIX) for key in signature.read_public(data[entry])]
    except ValueError as error:
        raise ValueError(f"the Secret {name} cannot be used: {error}") from None
    return keyring.Keys(private, tuple(trusted))


async def load(reach: client.Cluster, namespace: str, name: str, current: ed25519.Ed25519PrivateKey | None = None) -> keyring.Keys:
    """Return the keys of the installation; the first start creates them, and a deleted Secret is created again with the current key.

    Raises:
        edge.Unavailable: the Secret cannot be read or created, or holds something else.
    """
    try:
        secret = await reach.get(client.SECRET, namespace, name)
        if secret is None:
            with contextlib.suppress(client.Conflict):  # another replica was faster: its key counts
                await reach.create(_new_secret(namespace, name, current or ed25519.Ed25519PrivateKey.generate()))
            secret = await reach.get(client.SECRET, namespace, name)
        return read(secret or {}, f"{namespace}/{name}")
    except (ValueError, client.Refused) as error:
        raise edge.Unavailable(Reason.LEDGER_UNAVAILABLE, f"the key that signs the ledger: {error}") from None


def trusting(key: signature.Key) -> dict[str, str]:
    """Return the JSON patch step that makes an operator with this Secret trust records of a key as well."""
    value = base64.b64encode(signature.write_public(key)).decode()
    return {"op": "add", "path": f"/data/{signature.key_id(key)}{keyring.SUFFIX}", "value": value}


def _new_secret(namespace: str, name: str, private: ed25519.Ed25519PrivateKey) -> dict[str, Any]:
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    data = {PRIVATE: pem, PUBLIC: signature.write_public(private.public_key())}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }

"""The key that signs the ledger: made once, the same for every replica, put back when it was deleted, and never replaced by guessing."""

from __future__ import annotations

import asyncio
import base64
import pathlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard import edge
from modelyard.edge.bucket import keyring
from modelyard.edge.cluster import client, signing_key
from modelyard.ledger import signature
from tests.fakes.world import World

OLD = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x02" * 32).public_key()


def held(world: World, current: ed25519.Ed25519PrivateKey | None = None) -> keyring.Keys:
    return asyncio.run(signing_key.load(world, "yard", "key", current))  # type: ignore[arg-type]


def key_id(keys: keyring.Keys) -> str:
    return signature.key_id(keys.private.public_key())


def secret(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.objects["Secret", "yard", "key"]
    return found


def test_the_first_start_makes_a_key_and_every_later_one_has_the_same() -> None:
    world = World()

    first, second = held(world), held(world)

    public = base64.b64decode(secret(world)["data"][signing_key.PUBLIC])
    assert key_id(first) == key_id(second) == signature.key_id(signature.public(public))


def test_of_two_replicas_that_start_at_once_both_use_the_key_of_who_was_faster() -> None:
    class Racing(World):
        """Another replica creates the Secret between this one's look and its write."""

        async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
            await super().create({**obj, "data": {**obj["data"], **theirs["data"]}})
            return await super().create(obj)

    other = World()
    faster = held(other)
    theirs = secret(other)

    assert key_id(held(Racing())) == key_id(faster)


def test_a_secret_that_was_deleted_gets_the_key_back_that_is_in_use() -> None:
    world = World()
    before = held(world)
    del world.objects["Secret", "yard", "key"]

    assert key_id(held(world, before.private)) == key_id(before)
    assert key_id(held(world)) == key_id(before)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "no entry ed25519.pem"),
        ({"ed25519.pem": b"no key"}, "cannot be used"),
        ({"old.pub": b"none"}, "holds no PEM block"),
    ],
)
def test_a_secret_that_holds_something_else_is_named_and_not_written_over(data: dict[str, bytes], message: str) -> None:
    world = World()
    held(world)
    kept = secret(world)["data"] if "old.pub" in data else {}
    secret(world)["data"] = kept | {name: base64.b64encode(value).decode() for name, value in data.items()}
    before = dict(secret(world)["data"])

    with pytest.raises(edge.Unavailable, match=rf"the Secret yard/key .*{message}"):
        held(world)
    assert secret(world)["data"] == before


def test_public_keys_in_the_secret_are_believed_as_well() -> None:
    world = World()
    held(world)
    step = signing_key.trusting(OLD)
    secret(world)["data"][step["path"].removeprefix("/data/")] = step["value"]

    assert [signature.key_id(key) for key in held(world).trusted] == [signature.key_id(OLD)]


def test_a_key_in_a_file_has_the_public_keys_of_its_folder_beside_it(tmp_path: pathlib.Path) -> None:
    world = World()
    made = held(world)
    (tmp_path / "ledger.pem").write_bytes(base64.b64decode(secret(world)["data"][signing_key.PRIVATE]))
    (tmp_path / "before.pub").write_bytes(signature.write_public(OLD))

    keys = keyring.from_file(tmp_path / "ledger.pem")

    assert key_id(keys) == key_id(made)
    assert [signature.key_id(key) for key in keys.trusted] == [signature.key_id(OLD)]


def test_a_secret_that_may_not_be_read_says_so() -> None:
    class Closed(World):
        async def get(self, kind: client.Kind, namespace: str, name: str) -> dict[str, Any] | None:
            raise client.Refused(403, "secrets is forbidden")

    with pytest.raises(edge.Unavailable, match=r"the key that signs the ledger: .*forbidden"):
        held(Closed())

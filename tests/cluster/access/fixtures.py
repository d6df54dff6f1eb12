"""The ground of these tests: the chart's policies without its operator, a namespace, and everybody logged in."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.cluster.access import aside, people, place
from tests.cluster.node import layout


@pytest.fixture(scope="module")
def quiet(operator: Any) -> Iterator[Any]:
    """The policies as the chart installs them, while the operator itself rests: what it would write, these tests write."""
    with aside.resting(operator):
        yield operator


@pytest.fixture(scope="module")
def ground(quiet: Any) -> Iterator[str]:
    """One namespace for the whole matrix, with everybody's permissions."""
    name = f"access-{secrets.token_hex(4)}"
    quiet.kubectl("create", "namespace", name)
    quiet.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(place.permissions(name)))
    yield name
    quiet.kubectl("delete", "namespace", name, "--wait=false")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(quiet: Any, ground: str) -> AsyncIterator[people.Crowd]:
    """Everybody, logged in, and the objects that they write to."""
    door = people.door(quiet)
    keys = people.certificates(quiet, [person.name for person in people.PEOPLE], ground)
    tokens = {one.name: (f"system:serviceaccount:{ground}:{one.name}", quiet.token(ground, one.name)) for one in people.ROBOTS}
    tokens["operator"] = (people.OPERATOR, quiet.token(layout.NAMESPACE, "modelyard"))
    keys, tokens = door.opened(keys, tokens)
    async with people.gathered(door.address, door.authority, keys, tokens) as everybody:
        await place.furnish(everybody, ground)
        await place.approved_before(everybody, ground)
        yield everybody

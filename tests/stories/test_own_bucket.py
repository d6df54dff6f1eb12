"""The operator's own bucket is no Model's storage: nothing in it is read, and both the Model and its versions say why."""

from __future__ import annotations

import copy

import pytest

from modelyard.plan.modelversion import inspection
from tests.fakes import world
from tests.stories import test_properties, test_stories


class Unread(world.Store):
    """A store that must not be asked."""

    async def inspect(self, request: inspection.Request) -> inspection.Result:
        raise AssertionError(f"{request.uri} was read")

    async def prove_object(self, request: inspection.EvidenceRequest) -> inspection.EvidenceResult:
        raise AssertionError(f"{request.uri} was read")


@pytest.mark.parametrize("uri", ["s3://modelyard/", "s3://modelyard/ledger/main/", "s3://modelyard/fraud/"])
@pytest.mark.parametrize("endpoint", [None, "http://store.modelyard-system.svc:7070", "HTTP://10.0.0.7:7070/"])
async def test_nothing_is_read_there_whatever_its_endpoint_is_called(uri: str, endpoint: str | None) -> None:
    teller = test_stories.Teller(restart=False)
    teller.store = Unread()
    teller._start()
    model, version = copy.deepcopy(test_properties.MODEL), copy.deepcopy(test_properties.version("1"))
    model["spec"]["storage"] = {"uri": uri} | ({"endpoint": endpoint} if endpoint else {})
    version["spec"]["artifact"]["uri"] = f"{uri}1/"

    await teller.tell([{"apply": model}, {"apply": version}, {"after": "1h"}])

    for name in ("Model", "fraud"), ("ModelVersion", "fraud-1"):
        told = {one["type"]: one for one in teller.world.objects[name[0], "risk", name[1]]["status"]["conditions"]}
        assert (told["Ready"]["status"], told["Ready"]["reason"], told["Stalled"]["status"]) == ("False", "PathNotAllowed", "True")
        assert "the operator's own s3://modelyard/" in told["Ready"]["message"]

"""A stage that asks people about its template runs none that they have not agreed to, whoever changes it and rolls back."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.fakes import world
from tests.stories import test_properties, test_stories

Object = dict[str, Any]


def serving(image: str) -> Object:
    return {"port": 8080, "template": {"spec": {"containers": [{"name": "server", "image": image}]}}}


def promotion(name: str, number: str, **more: Any) -> Object:
    spec = {"model": "fraud", "version": number, "stage": "production", "requestedBy": "alice", **more}
    return {"apply": {"kind": "Promotion", "metadata": {"name": name}, "spec": spec}}


def approve(name: str) -> Object:
    return {"approve": {"promotion": name, "user": "bob", "gate": "risk"}}


def change(**fields: Any) -> Object:
    return {
        "change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {f"stages.0.{name}": value for name, value in fields.items()}}
    }


UP: Object = {"available": "fraud-production"}
MINUTE: Object = {"after": "1m"}


async def begun(scope: str | None, runs: Object | None = None, *, restart: bool = False) -> test_stories.Teller:
    """Production runs version 2 with serve:1, and ran version 1 before; people are asked for promotions."""
    teller = test_stories.Teller(restart=restart)
    gate = {"name": "risk"} | ({"scope": scope} if scope else {})
    stages = [{"name": "production", "gates": {"approvals": [gate]}} | ({"serving": runs} if runs else {})]
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "stages": stages}
    up = [UP] if runs else []
    await teller.tell(
        copy.deepcopy(
            [
                {"upload": {"s3://models/fraud/1/": "1", "s3://models/fraud/2/": "2"}},
                {"apply": {"kind": "Model", "metadata": {"name": "fraud"}, "spec": spec}},
                {"apply": test_properties.version("1")},
                {"apply": test_properties.version("2")},
                *(step for number in ("1", "2") for step in (promotion(f"p{number}", number), approve(f"p{number}"), *up, MINUTE)),
            ]
        )
    )
    return teller


def runs(teller: test_stories.Teller) -> str | None:
    return dict(world.shown(teller.world)).get("Deployment fraud-production")


def ready(teller: test_stories.Teller) -> Object:
    conditions = teller.world.objects["Model", "risk", "fraud"]["status"]["conditions"]
    return next(one for one in conditions if one["type"] == "Ready")


def phase(teller: test_stories.Teller, name: str) -> str:
    return str(teller.world.objects["Promotion", "risk", name]["status"]["phase"])


async def test_a_changed_template_rolls_out_by_itself_where_nobody_is_asked_about_it() -> None:
    teller = await begun(None, serving("serve:1"))

    await teller.tell([change(serving=serving("serve:2")), UP, MINUTE])

    assert runs(teller) == "runs 2 with serve:2"


@pytest.mark.parametrize("changed", [serving("serve:2"), {**serving("serve:1"), "port": 9090}])
async def test_a_changed_template_waits_and_says_for_whom(changed: Object) -> None:
    teller = await begun("Template", serving("serve:1"))

    await teller.tell([change(serving=changed), MINUTE])

    assert runs(teller) == "runs 2 with serve:1"
    assert (ready(teller)["status"], ready(teller)["reason"]) == ("False", "TemplateWaitsForApproval")
    assert "who may promote there creates a Promotion of 2 to production" in ready(teller)["message"]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_promotion_of_the_same_version_that_is_approved_rolls_the_changed_template_out(restart: bool) -> None:
    teller = await begun("Template", serving("serve:1"), restart=restart)

    await teller.tell([change(serving=serving("serve:2")), promotion("again", "2"), MINUTE])
    waiting = (phase(teller, "again"), runs(teller), ready(teller)["message"])
    await teller.tell([approve("again"), UP, MINUTE])

    assert waiting[:2] == ("AwaitingApproval", "runs 2 with serve:1")
    assert "once the Promotion again is granted" in waiting[2]
    assert (phase(teller, "again"), runs(teller), ready(teller)["reason"]) == ("Succeeded", "runs 2 with serve:2", "Ready")


async def test_a_template_that_was_changed_once_more_is_not_the_one_that_was_approved() -> None:
    teller = await begun("Template", serving("serve:1"))
    await teller.tell([change(serving=serving("serve:2")), promotion("again", "2"), MINUTE])
    word = {
        "user": "bob",
        "gate": "risk",
        "decision": "Approved",
        "subject": teller.world.objects["Promotion", "risk", "again"]["status"]["subject"],
    }

    await teller.tell(
        [
            change(serving=serving("evil:1")),
            {"change": {"kind": "Promotion", "metadata": {"name": "again"}, "set": {"approvals": [word]}}},
            MINUTE,
        ]
    )

    assert (phase(teller, "again"), runs(teller)) == ("AwaitingApproval", "runs 2 with serve:1")


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("to", ["1", "2"])
async def test_a_rollback_brings_no_template_that_nobody_agreed_to(to: str, restart: bool) -> None:
    teller = await begun("Template", serving("serve:1"), restart=restart)

    await teller.tell([change(serving=serving("evil:1")), promotion("back", to, rollback=True), UP, MINUTE])

    assert (phase(teller, "back"), runs(teller)) == ("Succeeded", f"runs {to} with serve:1")
    assert ready(teller)["reason"] == "TemplateWaitsForApproval"


async def test_a_rollback_does_not_wait_for_a_template_that_the_api_server_refuses_and_that_it_does_not_run() -> None:
    teller = await begun("Template", serving("serve:1"))
    await teller.tell(
        [change(serving={**serving("x"), "template": {"spec": {"containers": []}}}), promotion("back", "1", rollback=True), UP, MINUTE]
    )

    assert (phase(teller, "back"), runs(teller)) == ("Succeeded", "runs 1 with serve:1")


async def test_a_rollback_where_nobody_agreed_to_any_template_starts_no_pod() -> None:
    teller = await begun("Template")

    await teller.tell([change(serving=serving("evil:1")), promotion("back", "1", rollback=True), MINUTE])

    assert (phase(teller, "back"), runs(teller), ready(teller)["reason"]) == ("Succeeded", None, "TemplateWaitsForApproval")


async def test_serving_that_is_taken_away_and_declared_anew_waits_as_well() -> None:
    teller = await begun("Template", serving("serve:1"))

    await teller.tell([change(serving=None), MINUTE, change(serving=serving("evil:1")), MINUTE])

    assert runs(teller) == "runs 2 with serve:1"


async def test_a_template_that_fails_after_it_was_approved_is_put_back_and_waits_again() -> None:
    teller = await begun("Template", serving("serve:1"))

    await teller.tell(
        [change(serving=serving("serve:2")), promotion("again", "2"), approve("again"), {"stuck": "fraud-production"}, {"after": "11m"}]
    )

    assert (phase(teller, "again"), runs(teller), ready(teller)["reason"]) == (
        "RolledBack",
        "runs 2 with serve:1",
        "TemplateWaitsForApproval",
    )


async def test_what_waits_rolls_out_when_the_stage_asks_no_more() -> None:
    teller = await begun("Template", serving("serve:1"))

    await teller.tell([change(serving=serving("serve:2")), MINUTE, change(gates={"approvals": [{"name": "risk"}]}), UP, MINUTE])

    assert (runs(teller), ready(teller)["reason"]) == ("runs 2 with serve:2", "Ready")


async def test_a_rollback_does_not_wait_for_a_changed_template_that_does_not_come_up() -> None:
    """No promotion holds the stage that somebody could abort."""
    teller = await begun(None, serving("serve:1"))
    await teller.tell([change(serving=serving("broken:1")), MINUTE])
    rolling = runs(teller)

    await teller.tell([promotion("back", "1", rollback=True), UP, MINUTE])

    assert rolling == "runs 2 with broken:1"
    assert (phase(teller, "back"), runs(teller)) == ("Succeeded", "runs 1 with broken:1")

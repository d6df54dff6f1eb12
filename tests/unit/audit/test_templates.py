"""What `explain` and a dossier tell of templates that came to serve without an approval."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from modelyard import api
from modelyard.audit import explain
from modelyard.audit.dossier import bundle, dossier
from modelyard.cli.query.explain import sections
from modelyard.ledger import fold, record
from modelyard.ledger.record import Action, Actor, Authenticity
from modelyard.plan.serving.template import Blueprint, name, render
from tests.fakes import chronicle

MALLORY = Actor("mallory@example.com", Authenticity.AUTHENTICATED)
GATES = "stages/production/gates/approvals"
TEMPLATE = "stages/production/serving/template"


class Story(chronicle.Story):
    """A stage that serves, with templates that are really rendered."""

    def __init__(self) -> None:
        super().__init__()
        self.generation = 1

    def render(self, version: str, image: str, port: int = 8080) -> str:
        pods = {"spec": {"containers": [{"name": "server", "image": image, "env": [{"name": "THREADS", "value": image[-1]}]}]}}
        runs = {"port": port, "template": pods}
        spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/credit/"}, "stages": [{"name": "production", "serving": runs}]}
        model = api.Model.model_validate({"metadata": {"name": "credit"}, "spec": spec})
        assert model.spec.stages
        assert model.spec.stages[0].serving
        rendered = render(
            Blueprint(model, "production", model.spec.stages[0].serving, version, "s3://m/", chronicle.digest(version), b"", "modelyard:1")
        )
        self.blobs[name(rendered)] = rendered
        return name(rendered)

    def runs(self, template: str) -> None:
        self.state["production"] = dataclasses.replace(self.state["production"], template=template)

    def change(self, actor: Actor, *changed: str, **more: Any) -> None:
        self.later(minutes=1)
        self.generation += 1
        about = dataclasses.replace(self._model(), generation=self.generation)
        detail = {"before": None, "changed": list(changed), **more}
        self.write(record.entry(Action.RULES_CHANGED, actor, about, None, self.keep({"generation": self.generation}), detail))

    def roll_out(self, template: str | None, why: str = record.TEMPLATE_CHANGED, version: str = "1.4.0") -> None:
        self.later(minutes=1)
        detail = {"stage": "production", "version": version, "template": template, "why": why}
        self.write(record.entry(Action.ROLLOUT, record.BY_OPERATOR, self._model(), f"{len(self.objects)}", None, detail))

    def bring(self, version: str, template: str, *, rollback: bool = False, phase: str = "Succeeded") -> None:
        """A Promotion is granted, rolls out, and ends."""
        self.later(minutes=1)
        about, what = (
            record.Subject("Promotion", f"p{len(self.objects)}", f"uid-p{len(self.objects)}", 1),
            {"version": version, "stage": "production"},
        )
        self.write(record.entry(Action.REQUESTED, chronicle.CAROL, about, "requested", None, {**what, "reason": "", "rollback": rollback}))
        granted: dict[str, Any] = {**what, "rollback": rollback, "gates": [], "template": template, "policy": None}
        self.write(record.entry(Action.GRANTED, record.BY_OPERATOR, about, "granted", chronicle.digest(version), granted))
        if phase == "Succeeded":
            self.stand("production", version)
            self.serve("production", {version: 100})
            self.runs(template)
        ended = {**what, "phase": phase, "reason": phase, "message": "", "rollback": rollback}
        self.write(record.entry(Action.ENDED, record.BY_OPERATOR, about, phase, None, ended))


def begun() -> Story:
    """1.4.0 was promoted to production with serve:1, and serves."""
    story = Story()
    spec = {**chronicle.sample("modelversion-full"), "version": "1.4.0"}
    story.model(chronicle.sample("model-full"))
    story.register(spec)
    story.verify("1.4.0")
    story.bring("1.4.0", story.render("1.4.0", "serve:1"))
    return story


def told(story: Story, at: datetime.datetime | None = None) -> list[dict[str, Any]]:
    [stage] = explain.at(story.book(), at or story.now, "production")["serves"]
    found: list[dict[str, Any]] = stage["template"]
    return found


def changed(story: Story) -> None:
    """Somebody changes the template, another one the description and a gate; and it rolls out."""
    story.change(chronicle.BOB, "description")
    story.change(MALLORY, TEMPLATE)
    story.change(chronicle.BOB, GATES)
    story.roll_out(after := story.render("1.4.0", "evil:2"))
    story.runs(after)
    story.write()


def test_nothing_is_told_of_a_template_that_was_promoted() -> None:
    assert told(begun()) == []


def test_who_changed_the_template_when_and_what_differs() -> None:
    story = begun()
    changed(story)

    [one] = told(story)

    assert [each["by"] for each in one["changes"]] == [MALLORY.name]
    assert one["byRollback"] is False
    assert one["differences"] == [
        {"path": "template/spec/containers/server/env/THREADS/value", "before": "1", "after": "2"},
        {"path": "template/spec/containers/server/image", "before": "serve:1", "after": "evil:2"},
    ]


def test_people_read_it() -> None:
    story = begun()
    changed(story)
    answer = explain.at(story.book(), story.now, "production")

    rows = dict(next(rows for _, rows in sections(answer) if not isinstance(rows, str)))

    assert f"changed by {MALLORY.name}" in rows["Unapproved template"]
    assert "template/spec/containers/server/image: serve:1 → evil:2" in rows["Unapproved template"]


def test_before_it_changed_nothing_is_told_of_it() -> None:
    story = begun()
    before = story.now
    changed(story)

    assert told(story, before) == []


def test_a_rollback_that_brings_another_template_says_so() -> None:
    story = begun()
    story.bring("1.5.0", story.render("1.5.0", "serve:1"))
    story.change(MALLORY, "stages/production/serving")
    story.bring("1.4.0", story.render("1.4.0", "serve:1", port=9090), rollback=True)

    [one] = told(story)

    assert (one["byRollback"], one["differences"]) == (True, [{"path": "port", "before": 8080, "after": 9090}])
    assert [each["by"] for each in one["changes"]] == [MALLORY.name]


def test_a_rollback_with_the_same_template_brings_nothing() -> None:
    story = begun()
    story.bring("1.5.0", story.render("1.5.0", "serve:1"))
    story.bring("1.4.0", story.render("1.4.0", "serve:1"), rollback=True)

    assert told(story) == []


def test_what_was_put_back_serves_no_more() -> None:
    story = begun()
    before = story.state["production"].template
    story.change(MALLORY, TEMPLATE)
    story.roll_out(story.render("1.4.0", "evil:2"))
    story.roll_out(before, record.TEMPLATE_PUT_BACK)
    story.change(MALLORY, TEMPLATE)
    story.bring("1.4.0", story.render("1.4.0", "evil:3"), rollback=True, phase="RolledBack")

    assert told(story) == []


@pytest.mark.parametrize(("phase", "expected"), [("Succeeded", 0), ("RolledBack", 1)])
def test_a_promotion_that_succeeds_ends_it_and_one_that_fails_does_not(phase: str, expected: int) -> None:
    story = begun()
    changed(story)

    story.bring("1.4.0", story.render("1.4.0", "serve:3"), phase=phase)

    assert len(told(story)) == expected


def test_one_of_several_is_named_as_one_of_them() -> None:
    story = begun()
    story.change(record.NOBODY_KNOWS, "description", TEMPLATE, authors=["bob", "mallory"])
    story.roll_out(after := story.render("1.4.0", "evil:2"))
    story.runs(after)
    story.write()

    [one] = told(story)

    assert [(each["by"], each["authors"]) for each in one["changes"]] == [(None, ["bob", "mallory"])]


def test_a_document_that_is_gone_leaves_what_differs_open() -> None:
    story = begun()
    changed(story)
    del story.blobs[str(story.state["production"].template)]

    [one] = told(story)

    assert one["differences"] is None


def test_what_was_changed_often_is_told_of_the_latest() -> None:
    story = begun()
    for _ in range(300):
        story.change(chronicle.BOB, TEMPLATE)
    changed(story)

    [one] = told(story)

    assert one["changes"][-1]["by"] == MALLORY.name
    assert len(story.book().index(len(story.objects)).templates["production"]) <= 128


def test_the_dossier_says_it_and_follows_from_its_records() -> None:
    story = begun()
    changed(story)
    made = dossier.make(bundle.gather(story.book(), None, "1.4.0"), "1.4.0", "2026-10-04T00:00:00Z")
    assert made is not None

    deployment = next(part for part in made["sections"] if part["id"] == "deployment")
    [row] = next(table for table in deployment["tables"] if table["id"] == "templates")["rows"]

    assert row["state"] == "verified"
    assert [MALLORY.name in row["cells"][3], "image: serve:1 → evil:2" in row["cells"][4]] == [True, True]
    assert dossier.check(made) == []


def test_what_a_change_touches() -> None:
    paths = [TEMPLATE, "stages/staging/serving/replicas", "stages/shadow", "description", GATES]

    fact = record.entry(Action.RULES_CHANGED, MALLORY, record.Subject("Model", "credit", "u", 2), None, None, {"changed": paths})

    assert list(fold.touched(fact)) == ["production", "shadow"]

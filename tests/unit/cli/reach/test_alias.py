"""`@champion` is a version wherever a version is typed: now as the cluster has it, then as the ledger has it."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from modelyard.ledger import record
from modelyard.ledger.record import Action
from tests.fakes import apiserver, chronicle
from tests.unit.cli import typed

ALIASES = {"best": "1.5.0", "champion": "1.4.0", "lost": "9"}


@pytest.fixture
def objects(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A registry whose Model has aliases."""
    versions = [apiserver.version("1.4.0", metrics={"auc": 0.9}), apiserver.version("1.5.0", "Retired"), apiserver.version("1.6.0")]
    found = apiserver.registry(apiserver.model(aliases=ALIASES), *versions)
    with apiserver.run(tmp_path, found) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield found


@pytest.fixture
def exported(tmp_path: pathlib.Path) -> pathlib.Path:
    """The samples' ledger, in which the champion changes at the end."""
    story, operators = chronicle.credit()
    story.later(days=1)
    moved = {**chronicle.sample("model-full"), "aliases": {"champion": "1.5.0-rc.1"}}
    about = record.Subject("Model", "credit", "uid-model", 2)
    story.write(record.entry(Action.RULES_CHANGED, chronicle.BOB, about, None, story.keep(moved), {"changed": ["aliases/champion"]}))
    return chronicle.export(tmp_path / "exported", story, operators)


def test_show_promote_and_deprecate_take_an_alias(person: typed.Person, objects: dict[str, Any]) -> None:
    shown = person.types("show", "fraud", "@champion")
    promoted = person.types("promote", "fraud", "@champion", "production", "-o", "name")
    deprecated = person.types("deprecate", "fraud", "@champion")

    assert "fraud 1.4.0\n" in shown.out
    assert "Aliases  @champion" in shown.out
    assert promoted.out == "promotion.modelyard.dev/fraud-1.4.0-production\n"
    assert objects[f"{apiserver.HERE}/promotions/fraud-1.4.0-production"]["spec"]["version"] == "1.4.0"
    assert objects[f"{apiserver.HERE}/modelversions/fraud-1.4.0"]["spec"]["lifecycle"] == "Deprecated"
    assert all("@champion is 1.4.0" in ended.said for ended in (shown, promoted, deprecated))


@pytest.mark.parametrize(
    "words", [("show", "fraud", "@chanpion"), ("promote", "fraud", "@chanpion", "production"), ("retire", "fraud", "@")]
)
def test_an_alias_that_is_not_there_names_those_that_are(person: typed.Person, objects: dict[str, Any], words: tuple[str, ...]) -> None:
    ended = person.types(*words)

    assert (ended.code, ended.out) == (4, "")
    assert f"the Model fraud has no alias {words[2]}; it has @best, @champion, @lost" in ended.said


def test_aliases_are_listed_with_what_they_point_at(person: typed.Person, objects: dict[str, Any]) -> None:
    listed = person.types("list", "fraud")
    shown = person.types("show", "fraud")
    told = person.types("status", "fraud")

    assert [line.split()[:4] for line in listed.out.splitlines()] == [
        ["MODEL", "VERSION", "ALIASES", "PHASE"],
        ["fraud", "1.6.0", "-", "Ready"],
        ["fraud", "1.5.0", "@best", "Retired"],
        ["fraud", "1.4.0", "@champion", "Ready"],
    ]
    assert "@best=1.5.0, @champion=1.4.0, @lost=9" in shown.out
    assert [line.split(maxsplit=2) for line in told.out.splitlines() if line.startswith("  @")] == [
        ["@best", "1.5.0", "Retired"],
        ["@champion", "1.4.0", "Ready"],
        ["@lost", "9", "does not exist"],
    ]
    assert json.loads(person.types("status", "fraud", "-o", "json").out)["aliases"][2] == {"alias": "lost", "version": "9", "phase": None}


def test_versions_are_listed_though_models_may_not_be_read(
    person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handler: apiserver.Handler, asked: str, _body: object) -> bool:
        if refused := asked.split("/")[-2:] == ["models", "fraud"]:
            handler.answer(403, {"message": "models is forbidden"})
        return refused

    with apiserver.run(tmp_path, apiserver.registry(apiserver.version("1")), fault=refuse) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        ended = person.types("list", "fraud")

    assert ended.code == 0
    assert ended.out.splitlines()[1].split()[:4] == ["fraud", "1", "-", "Ready"]


def test_the_past_is_asked_with_what_an_alias_pointed_at_then(person: typed.Person, exported: pathlib.Path) -> None:
    now = person.types("explain", "credit", "--version", "@champion", "--from", exported, "-o", "json")
    then = person.types("explain", "credit", "--version", "@champion", "--at", "2026-10-03T16:00Z", "--from", exported, "-o", "json")

    assert "@champion is 1.5.0-rc.1" in now.said
    assert [one["version"] for one in json.loads(now.out)["versions"]] == ["1.5.0-rc.1"]
    assert "@champion is 1.4.0" in then.said


def test_diff_and_dossier_take_aliases_from_the_ledger(person: typed.Person, exported: pathlib.Path, tmp_path: pathlib.Path) -> None:
    diff = person.types("diff", "credit", "1.4.0", "@champion", "--from", exported, "-o", "json")
    dossier = person.types("dossier", "credit", "@champion", "--from", exported, "--to", tmp_path / "to")
    missing = person.types("dossier", "credit", "@next", "--from", exported)

    assert [json.loads(diff.out)[side] for side in ("before", "after")] == ["1.4.0", "1.5.0-rc.1"]
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["credit-1.5.0-rc.1.html", "credit-1.5.0-rc.1.json"]
    assert dossier.code == 0
    assert missing.code == 4
    assert "the Model credit, as the ledger has it, has no alias @next; it has @champion" in missing.said


def test_diff_takes_aliases_from_the_cluster_where_the_ledger_cannot_be_read(person: typed.Person, objects: dict[str, Any]) -> None:
    objects["/apis/apps/v1/namespaces/modelyard-system/deployments"] = []

    ended = person.types("diff", "fraud", "@champion", "1.6.0", "-o", "json")

    assert ended.code == 0, ended.said
    assert json.loads(ended.out)["before"] == "1.4.0"

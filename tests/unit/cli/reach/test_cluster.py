"""What an API server of another release does otherwise."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests.fakes import apiserver
from tests.unit.cli import typed


@pytest.fixture
def older(person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[typed.Person]:
    """Somebody with two models on Kubernetes 1.30, which selects by no field of a custom resource."""

    def refuse(handler: apiserver.Handler, _asked: str, _body: object) -> bool:
        if refused := "fieldSelector" in handler.path:
            handler.answer(400, {"message": "field label not supported: spec.model"})
        return refused

    other = apiserver.version("9", model="credit") | {"metadata": {"name": "credit-9"}}
    promotions = [apiserver.promotion("asks", "2", "production", "Pending"), apiserver.promotion("did", "1", "production", "Succeeded")]
    found = apiserver.registry(apiserver.model(), apiserver.version("1"), apiserver.version("2"), other, *promotions)
    with apiserver.run(tmp_path, found, fault=refuse) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield person


def test_the_versions_of_a_model_are_found_where_nothing_selects_by_field(older: typed.Person) -> None:
    listed = older.types("list", "fraud", "-o", "name")

    assert (listed.code, listed.out.split()) == (0, ["modelversion.modelyard.dev/fraud-2", "modelversion.modelyard.dev/fraud-1"])


@pytest.mark.parametrize("words", [("show", "fraud"), ("show", "fraud", "2"), ("status", "fraud")], ids=" ".join)
def test_a_model_is_shown_where_nothing_selects_by_field(older: typed.Person, words: tuple[str, ...]) -> None:
    shown = older.types(*words)

    assert (shown.code, shown.said) == (0, "")
    assert "credit" not in shown.out


def test_the_promotions_of_a_model_are_found_where_nothing_selects_by_field(older: typed.Person) -> None:
    asked = older.types("retire", "fraud")

    assert "1 unfinished promotion will be Aborted: asks\n" in asked.said

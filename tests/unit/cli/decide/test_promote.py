"""What `promote --wait` ends with: never better than what is so."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from tests.fakes import apiserver
from tests.unit.cli import typed

Json = dict[str, Any]
NAME = "fraud-1-production"


def condition(kind: str, status: str, message: str) -> Json:
    return {"type": kind, "status": status, "reason": "AlreadyRan", "message": message}


ENDS: dict[str, tuple[str, str, str, int]] = {
    "its name ran before with another spec": ("Reused", "False", "a Promotion of this name ran before, which brought 1 to staging", 3),
    "it ran before, and was superseded since": ("Superseded", "False", "superseded by later (2) on 2026-10-03", 3),
    "it ran before, and failed": ("RolledBack", "False", "a Promotion of this name ran before (RolledBack: not available in time)", 3),
    "it ran before, and its stage is at that version by it": ("Succeeded", "True", "production is at 1", 0),
    "it Succeeded, and another one came within a second": ("Superseded", "True", "2 was granted production later", 0),
}


@pytest.mark.parametrize("sentence", ENDS)
def test_waiting_ends_as_the_promotion_did_when(
    sentence: str, person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase, succeeded, message, code = ENDS[sentence]
    status = {
        "phase": phase,
        "observedGeneration": 1,
        "conditions": [condition("Ready", "False", message), condition("Succeeded", succeeded, message)],
    }

    def decides(handler: apiserver.Handler, asked: str, _body: object) -> bool:
        """The operator has looked at it by the time that it is asked for again."""
        if asked.startswith("GET") and (found := handler.objects.get(f"{apiserver.HERE}/promotions/{NAME}")):
            found["status"] = status
        return False

    objects = apiserver.registry(apiserver.model(stages=[{"name": "production"}]), apiserver.version("1"))
    with apiserver.run(tmp_path, objects, fault=decides) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        ended = person.types("promote", "fraud", "1", "production", "--wait", "--timeout", "5")

    assert ended.code == code, ended.said
    assert message in ended.said

"""What happened, in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.audit import provenance, timeline
from modelyard.ledger import record
from modelyard.ledger.record import Action
from tests.fakes import chronicle


def told(action: Action, **detail: Any) -> provenance.RecordedEntry:
    about = record.Subject("Model", "credit", "uid-model", 1)
    return provenance.RecordedEntry(3, chronicle.START, record.entry(action, record.BY_OPERATOR, about, "x", None, detail))


@pytest.mark.parametrize("action", Action)
def test_every_action_has_a_sentence_whatever_its_facts_hold(action: Action) -> None:
    sentence = timeline.sentence(told(action))

    assert sentence
    assert action not in sentence


def test_a_stage_that_was_taken_down_is_named_with_what_it_stood_for_and_why() -> None:
    one = told(Action.DECOMMISSIONED, stage="staging", version="1.4.0", why="the stage was removed")

    assert timeline.sentence(one) == "took down staging, which was at version 1.4.0"
    assert timeline.why(one) == "the stage was removed"

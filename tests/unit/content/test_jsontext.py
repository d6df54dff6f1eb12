"""JSON of others is read without recursing into it; what is too much is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.content import jsontext

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=30,
)


def nested(levels: int, inside: str = "1") -> str:
    return '{"a": [' * (levels // 2) + inside + "]}" * (levels // 2)


@given(VALUES, st.booleans())
def test_what_is_not_nested_deep_is_read_as_it_is(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()

    assert jsontext.loads(text) == value
    assert jsontext.load_cut(text) == value
    assert jsontext.cut(text) == text
    assert jsontext.shallow(text) == text


@given(VALUES, st.integers(500, 20_000), VALUES)
def test_only_what_is_nested_deep_is_cut(before: Any, levels: int, after: Any) -> None:
    text = f"[{json.dumps(before)}, {nested(levels, json.dumps({'[': ']}'}))}, {json.dumps(after)}]".encode()

    for found in (json.loads(jsontext.cut(text)), jsontext.load_cut(text), json.loads(jsontext.shallow(text))):
        assert (found[0], found[2]) == (before, after)
        assert jsontext.is_deep(found[1])


@pytest.mark.parametrize("levels", [102, 900, 100_000])
def test_a_document_that_is_nested_too_deep_is_none(levels: int) -> None:
    with pytest.raises(ValueError, match="nested deeper than 100 levels"):
        jsontext.loads(nested(levels))


@pytest.mark.parametrize(
    "text", ["", "[", '{"a": ', "]" * 100, "[" * 100_000, '"' + "[" * 1000, "\\", '{"a": "\\', nested(5000)[:-1], "\xff"]
)
def test_what_is_no_json_stays_none(text: str) -> None:
    for read in (jsontext.loads, jsontext.load_cut, lambda data: json.loads(jsontext.shallow(data))):
        with pytest.raises(ValueError, match=r"."):
            read(text.encode("latin-1"))


def test_the_field_that_is_too_much_is_named() -> None:
    deep = json.loads(nested(160))
    spec = {"fine": [1, {"b": 2}], "stages": [{}, {"serving": deep}]}

    assert jsontext.excess({"spec": spec}) == "spec.stages.1.serving.a.0.a.0 (nested more than 100 levels deep)"
    assert jsontext.excess({"spec": {"a": {"b": [0] * 60_000}, "c": 1}}) == "spec.a.b (more than 50,000 values)"
    assert jsontext.excess({"spec": {"a": [0] * 40_000, "b": json.loads(nested(90))}}) is None

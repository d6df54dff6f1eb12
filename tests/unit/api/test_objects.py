"""Objects: what is read is what is written, and samples are read."""

from __future__ import annotations

import datetime
import json
import pathlib
import re
from typing import Any, Final

import pydantic
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelyard.api import meta, model, modelversion, promotion
from modelyard.api.openapi import crd
from tests.unit.api import objects

ROOT: Final = pathlib.Path(__file__).resolve().parents[3]
SAMPLES: Final = sorted((ROOT / "crds" / "samples").rglob("*.yaml"))
MODELS: Final = {kind.name: kind.model for kind in crd.KINDS}


class Timed(meta.Object):
    """A field of each sort that is a text outside."""

    wait: meta.Duration | None = None
    at: meta.Timestamp | None = None


@pytest.mark.parametrize(
    ("text", "seconds", "written"),
    [
        ("90s", 90, "1m30s"),
        ("10m", 600, "10m"),
        ("24h", 86_400, "24h"),
        ("1h30m", 5400, "1h30m"),
        ("1.5h", 5400, "1h30m"),
        ("1500ms", 1.5, "1s500ms"),
        ("0s", 0, "0s"),
    ],
)
def test_a_duration_is_read_and_written(text: str, seconds: float, written: str) -> None:
    """Go-style, largest unit first."""
    timed = Timed.model_validate({"wait": text})

    assert timed.wait == datetime.timedelta(seconds=seconds)
    assert timed.dump() == {"wait": written}


@pytest.mark.parametrize("text", ["", "10", "1d", "-5m", "5 m", "m", "1h 30m", "1..5h", "99999999999999h"])
def test_what_is_no_duration_is_an_error_that_says_how(text: str) -> None:
    """A ValidationError, whatever is there: never an overflow."""
    with pytest.raises(pydantic.ValidationError, match="write it like 90s, 10m or 1h30m"):
        Timed.model_validate({"wait": text})


@given(st.integers(0, 10**12))
def test_any_duration_comes_back(milliseconds: int) -> None:
    """What is written is read as the same time."""
    wait = datetime.timedelta(milliseconds=milliseconds)

    assert Timed.model_validate(Timed(wait=wait).dump()).wait == wait


def test_a_time_is_written_in_utc() -> None:
    """Whole seconds, with Z."""
    timed = Timed.model_validate({"at": "2026-10-03T16:00:02+02:00"})

    assert timed.dump() == {"at": "2026-10-03T14:00:02Z"}


@pytest.mark.parametrize(
    ("text", "written"),
    [("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"), ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z")],
)
def test_a_time_that_is_none_in_utc_is_the_nearest_that_is(text: str, written: str) -> None:
    """The API server takes it, and an operator that cannot write it down again decides nothing of its model any more."""
    assert Timed.model_validate({"at": text}).dump() == {"at": written}


@pytest.mark.parametrize("text", ["0000-01-01T00:00:00Z", "2026-10-03T14:00:00+24:00", "2026-10-03T14:00:00+01:60"])
def test_a_time_that_the_operator_cannot_read_is_refused_by_the_crd(text: str) -> None:
    """Go reads more times than Python does."""
    pattern = Timed.model_json_schema()["properties"]["at"]["anyOf"][0]["pattern"]

    assert re.search(pattern, "2026-10-03T14:00:00+02:00")
    assert not re.search(pattern, text)
    with pytest.raises(pydantic.ValidationError):
        Timed.model_validate({"at": text})


def test_a_time_needs_a_zone() -> None:
    """Nobody can know what it means without."""
    with pytest.raises(pydantic.ValidationError):
        Timed.model_validate({"at": "2026-10-03T16:00:02"})


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.relative_to(ROOT / "crds" / "samples")))
def test_a_sample_is_read_and_comes_back(path: pathlib.Path) -> None:
    """Nothing is lost or added, but for how a duration is written."""
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        read = MODELS[document["kind"]].model_validate(document)
        dumped = read.dump()

        assert {"apiVersion", "kind", "metadata", "spec", "status"} == dumped.keys()
        assert normal(document["spec"]) == dumped["spec"]


def normal(value: Any) -> Any:
    """Durations as they are written by us."""
    if isinstance(value, dict):
        timed = {"servedFor", "interval", "progressDeadline"}
        return {
            key: Timed.model_validate({"wait": inner}).dump()["wait"] if key in timed else normal(inner) for key, inner in value.items()
        }
    return [normal(inner) for inner in value] if isinstance(value, list) else value


@given(st.data())
@pytest.mark.parametrize("kind", sorted(MODELS))
def test_any_good_object_comes_back(kind: str, data: st.DataObject) -> None:
    """Reading what was written gives the same object."""
    read = MODELS[kind].model_validate(data.draw(objects.KINDS[kind]))

    assert MODELS[kind].model_validate(json.loads(json.dumps(read.dump()))) == read


@pytest.mark.parametrize(("kind", "name"), [(kind.model, kind.name) for kind in crd.KINDS])
def test_unknown_fields_and_odd_values_do_not_matter(kind: type[meta.Resource], name: str) -> None:
    """The operator reads what a newer CRD, or one without our bounds, let in."""
    odd = {"model": "NOT A NAME", "version": "v1", "stage": "Pre-Prod", "owner": {"team": ""}, "storage": {"uri": "x"}, "later": {"a": 1}}
    artifact = {"uri": "file:///", "format": "onnx"}
    read = kind.model_validate({"kind": name, "metadata": {"name": "odd", "managedFields": []}, "spec": {**odd, "artifact": artifact}})

    assert read.metadata.name == "odd"
    assert "later" not in read.dump()["spec"]


def test_the_immutable_part_of_a_version() -> None:
    """What may be added to, and what is free, is not in it."""
    document = yaml.safe_load((ROOT / "crds/samples/modelversion-full.yaml").read_text(encoding="utf-8"))

    immutable = modelversion.ModelVersion.model_validate(document).immutable()

    assert set(immutable) == {"model", "version", "artifact", "training", "lineage", "card", "signature"}


def test_the_full_samples_are_full() -> None:
    """Every field of a spec is in the sample that says so."""
    for kind, spec in (("model", model.ModelSpec), ("modelversion", modelversion.ModelVersionSpec), ("promotion", promotion.PromotionSpec)):
        document = yaml.safe_load((ROOT / f"crds/samples/{kind}-full.yaml").read_text(encoding="utf-8"))

        assert {field.alias for field in spec.model_fields.values()} == set(document["spec"])

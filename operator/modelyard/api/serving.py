"""Serving: how a stage of a Model runs its version."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Any, Final

import pydantic

from modelyard.api import meta
from modelyard.api.openapi import schema
from modelyard.api.openapi.schema import LATER, Rule, Says

DEFAULT_PROGRESS_DEADLINE: Final = datetime.timedelta(minutes=10)
POSITIVE: Final = schema.Says("", Rule("duration(self) >= duration('1s')", "give at least 1s"))

# Enough of a PodTemplateSpec to refuse one without a container; the rest is judged by a dry run of what it renders to.
TEMPLATE: Final[dict[str, Any]] = {
    "additionalProperties": None,
    schema.PRESERVE: True,
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "description": "A PodSpec.",
            schema.PRESERVE: True,
            "required": ["containers"],
            "properties": {
                "containers": {
                    "type": "array",
                    "description": "The containers; the first serves.",
                    "minItems": 1,
                    "items": {"type": "object", schema.PRESERVE: True},
                }
            },
        }
    },
}


class Strategy(enum.StrEnum):
    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"
    BLUE_GREEN = "BlueGreen"
    CANARY = "Canary"


class NoData(enum.StrEnum):
    FAIL = "Fail"
    PAUSE = "Pause"
    PASS = "Pass"


class Analysis(meta.Object):
    """A question to Prometheus that decides whether a rollout goes on."""

    model_config = pydantic.ConfigDict(json_schema_extra=schema.rules(schema.exactly_one("atLeast", "atMost")))

    name: Annotated[meta.GateName, Says("What measurements in a Promotion's status are told apart by.")]
    prometheus: Annotated[meta.Url, Says("Base URL of a Prometheus-compatible server.")]
    query: Annotated[
        str, Says("PromQL that gives one number; {{version}}, {{stage}} and {{model}} are filled in.", minLength=1, maxLength=4096)
    ]
    at_least: Annotated[float | None, Says("The smallest value that passes.")] = None
    at_most: Annotated[float | None, Says("The largest value that passes.")] = None
    interval: Annotated[meta.Duration | None, POSITIVE, Says("Time between measurements; absent: 1m.")] = None
    failure_limit: Annotated[
        int | None,
        Says("How many measurements may fail before the rollout is put back; absent: 3.", minimum=0, maximum=100, format="int32"),
    ] = None
    no_data: Annotated[NoData | None, Says("What a measurement without a number counts as; absent: Fail.")] = None


class Step(meta.Object):
    """One step of a canary."""

    weight: Annotated[
        int,
        Says(
            "Share of the traffic for the new version, in percent; 0: up, but reachable by its own Service only.",
            minimum=0,
            maximum=100,
            format="int32",
        ),
    ]
    pause: Annotated[
        str | None,
        schema.matching(
            r"^(Manual|([0-9]{1,6}(\.[0-9]{1,3})?(ms|h|m|s))+)$", "write a duration like 10m, or Manual to wait for a person", most=32
        ),
        Says("How long the step lasts, or `Manual`: a person goes on; absent: until its pods are available."),
    ] = None
    """A duration, or `Manual`: a person goes on."""


class Serving(meta.Object):
    """How a stage runs its version."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            Rule(
                "!has(self.steps) || (has(self.strategy) && self.strategy == 'Canary')",
                "steps are a canary's: set strategy: Canary, or remove steps",
                ".steps",
            ),
            Rule(
                "!has(self.strategy) || self.strategy != 'Canary' || has(self.steps)",
                "strategy Canary needs steps: add them, such as [{weight: 10, pause: 10m}]",
                ".strategy",
            ),
            Rule(
                "!has(self.analysis) || (has(self.strategy) && self.strategy in ['Canary', 'BlueGreen'])",
                "analysis needs two versions side by side: set strategy: Canary or BlueGreen, or remove analysis",
                ".analysis",
            ),
        )
    )

    template: Annotated[
        dict[str, Any], Says("A PodTemplateSpec; its first container serves, and the volume modelyard-artifact is added to it.", **TEMPLATE)
    ]
    """A PodTemplateSpec; the first container serves."""
    replicas: Annotated[
        int | None,
        Says("Number of pods; absent: the operator leaves it alone, an autoscaler owns it.", minimum=0, maximum=10000, format="int32"),
    ] = None
    port: Annotated[int, Says("Port of the serving container; the stage's Service has the same.", minimum=1, maximum=65535, format="int32")]
    strategy: Annotated[
        Strategy | None,
        Says(
            "How one version takes over from another; absent: RollingUpdate. BlueGreen and Canary: validated, not yet acted on, such a stage holds."
        ),
    ] = None
    steps: Annotated[
        list[Step] | None,
        Says(
            "The steps of a canary, in order." + LATER,
            Rule("self.map(s, s.weight).isSorted()", "weights cannot go down from one step to the next: put the steps in rising order"),
            **{schema.LIST_TYPE: "atomic", "minItems": 1, "maxItems": 20},
        ),
    ] = None
    analysis: Annotated[
        list[Analysis] | None,
        Says("What is measured while a rollout runs, and how good it must be." + LATER, **schema.listed_by("name", most=16, least=1)),
    ] = None
    progress_deadline: Annotated[
        meta.Duration | None, POSITIVE, Says("Time in which the new pods must be available, or the rollout is put back; absent: 10m.")
    ] = None

"""Model: one model of a team, its storage, its stages, and what each stage demands and serves."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Any, Final

import pydantic

from modelyard.api import meta, schema
from modelyard.api.schema import LATER, Rule, Says


class RiskTier(enum.StrEnum):
    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"


class ModelLifecycle(enum.StrEnum):
    ACTIVE = "Active"
    RETIRED = "Retired"


class Strategy(enum.StrEnum):
    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"
    BLUE_GREEN = "BlueGreen"
    CANARY = "Canary"


class EvidenceType(enum.StrEnum):
    VALIDATION_REPORT = "ValidationReport"
    RISK_ASSESSMENT = "RiskAssessment"
    MODEL_CARD = "ModelCard"
    BIAS_REPORT = "BiasReport"
    SECURITY_REVIEW = "SecurityReview"
    OTHER = "Other"


REGION: Final = schema.matching(r"^[a-z0-9][a-z0-9-]*$", "give a region's name, like eu-central-1", most=64)
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


def _no_circle(rounds: int) -> str:
    """Takes away the stages that wait for none that is left, as often as there can be stages: what then is left goes in a circle.

    CEL has no loop and no variables; `[value].all(name, …)` gives a value a name.
    """
    check = f"size(left{rounds}) == 0"
    for number in range(rounds, 0, -1):
        before = f"left{number - 1}" if number > 1 else "self"
        waits = "has(s.gates) && has(s.gates.after)" + (
            f" && s.gates.after.exists(a, {before}.exists(t, t.name == a))" if number > 1 else ""
        )
        check = f"[{before}.filter(s, {waits})].all(left{number}, {check})"
    return check


STAGES: Final = (
    Rule(
        "self.all(s, !has(s.gates) || !has(s.gates.after) || s.gates.after.all(a, self.exists(t, t.name == a)))",
        "gates.after names a stage that is not declared: correct the name, or add the stage",
    ),
    Rule(
        _no_circle(16),
        "gates.after goes round in a circle, so no version could ever reach those stages: let each come after earlier ones only",
    ),
    Rule(
        "self.all(s, !has(s.gates) || !has(s.gates.metrics) || s.gates.metrics.all(m, !has(m.notWorseThan) || "
        "self.exists(t, t.name == m.notWorseThan)))",
        "notWorseThan names a stage that is not declared: correct the name, or add the stage",
    ),
)


class Owner(meta.Object):
    """Who answers for a model."""

    team: Annotated[str, Says("The team that answers for the model.", minLength=1, maxLength=128)]
    contact: Annotated[str | None, Says("How to reach it: a mail address, a channel, a page.", maxLength=256)] = None


class SecretReference(meta.Object):
    """A Secret in the object's namespace."""

    secret_name: Annotated[meta.ObjectName, Says("Name of a Secret in the same namespace.")]


class ConfigMapReference(meta.Object):
    """A ConfigMap in the object's namespace."""

    config_map_name: Annotated[meta.ObjectName, Says("Name of a ConfigMap in the same namespace.")]


class Storage(meta.Object):
    """Where a model's bytes live, and how to read them."""

    uri: Annotated[
        meta.Prefix, Says("Folder in an S3 bucket, `s3://bucket/folder/`: every artifact and evidence of this model is below it.")
    ]
    endpoint: Annotated[
        meta.Url | None, Says("URL of the object store; absent: AWS S3. It must be on the operator's allow-list (MODELYARD_ENDPOINTS).")
    ] = None
    region: Annotated[str | None, REGION, Says("The bucket's region; absent: us-east-1.")] = None
    credentials: Annotated[
        SecretReference | None,
        Says(
            "What the operator reads the bytes with: keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if need be, AWS_SESSION_TOKEN."
            " Absent: anonymous, never the operator's own."
        ),
    ] = None
    serving_credentials: Annotated[
        SecretReference | None, Says("What the serving pods read the bytes with, same keys; absent: the same as credentials.")
    ] = None
    ca_bundle: Annotated[
        ConfigMapReference | None, Says("Certificates that the store's TLS certificate is checked against, PEM, key ca.crt.")
    ] = None


class MetricGate(meta.Object):
    """A number that a version declares must be good enough."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            schema.exactly_one("atLeast", "atMost", "notWorseThan"),
            Rule("!has(self.tolerance) || has(self.notWorseThan)", "tolerance goes with notWorseThan: add that, or remove tolerance"),
        )
    )

    name: Annotated[meta.MetricName, Says("A key of the version's spec.metrics.")]
    at_least: Annotated[float | None, Says("The smallest value that passes.")] = None
    at_most: Annotated[float | None, Says("The largest value that passes.")] = None
    not_worse_than: Annotated[
        meta.StageName | None,
        Says(
            "A stage, this one too: the value must be at least that of the version that serves there now, less tolerance. Nothing there: passes."
            " Larger counts as better; use atMost for what should be small."
        ),
    ] = None
    tolerance: Annotated[float | None, Says("How much less still counts as not worse, in the metric's own unit; absent: 0.", minimum=0)] = (
        None
    )


MOST_PEOPLE: Final = 24
"""Approvals that a stage may require; more than the entries of a Promotion could never be given, and who withdraws or does not count takes room."""


class ApprovalGate(meta.Object):
    """People who must agree."""

    name: Annotated[meta.GateName, Says("What an approval names in its field gate; RBAC can grant it as models/<stage>/<name>.")]
    required: Annotated[int | None, Says("How many distinct people must approve; absent: 1.", minimum=1, maximum=16, format="int32")] = None
    allow_service_accounts: Annotated[bool | None, Says("Whether users whose name begins with `system:` count; absent: false.")] = None


class Gates(meta.Object):
    """What must hold at the moment a stage is granted."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            Rule(
                "!has(self.servedFor) || has(self.after)",
                "servedFor counts from the stages in after: add after, or remove servedFor",
                ".servedFor",
            ),
            Rule(
                f"!has(self.approvals) || self.approvals.map(a, has(a.required) ? a.required : 1).sum() <= {MOST_PEOPLE}",
                f"the gates of a stage may require {MOST_PEOPLE} people together, as a Promotion has room for 32 entries, withdrawn ones among "
                "them: set required lower, or remove a gate",
                ".approvals",
            ),
        )
    )

    after: Annotated[
        list[meta.StageName] | None,
        Says(
            "Stages that the version must have Succeeded in, not undone since; absent: none.",
            **{schema.LIST_TYPE: "set", "minItems": 1, "maxItems": 15},
        ),
    ] = None
    served_for: Annotated[
        meta.Duration | None,
        Says("How long the version must have served in every stage of after; where that does not serve: since it Succeeded there."),
    ] = None
    metrics: Annotated[
        list[MetricGate] | None,
        Says("Numbers of the version's spec.metrics that must be good enough.", **schema.listed_by("name", most=32, least=1)),
    ] = None
    evidence: Annotated[
        list[EvidenceType] | None,
        Says(
            "Types of which the version must have evidence whose bytes are verified.",
            **{schema.LIST_TYPE: "set", "minItems": 1, "maxItems": 6},
        ),
    ] = None
    documentation: Annotated[bool | None, Says("Whether the documentation that riskTier demands must be complete; absent: false.")] = None
    approvals: Annotated[
        list[ApprovalGate] | None, Says("Groups of people who must agree.", **schema.listed_by("name", most=8, least=1))
    ] = None


class Freeze(meta.Object):
    """A time in which nothing is granted."""

    reason: Annotated[str, Says("Why, as the waiting promotions show it.", minLength=1, maxLength=512)]
    until: Annotated[meta.Timestamp | None, Says("When it ends by itself; absent: when frozen is removed.")] = None


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


class Stage(meta.Object):
    """A place where one version of the model stands."""

    name: Annotated[
        meta.StageName,
        Says("", Rule("self != 'candidate'", "the name candidate is reserved for what a canary adds: choose another, such as staging")),
        Says("Name of the stage; part of the names of what serves it."),
    ]
    auto_promote: Annotated[
        bool | None, Says("Whether a version that becomes Ready and passes the gates is promoted by itself; absent: false.")
    ] = None
    frozen: Annotated[Freeze | None, Says("While it is there nothing is granted, rollbacks excepted.")] = None
    gates: Annotated[Gates | None, Says("What must hold when the stage is granted; absent: that the version is Ready.")] = None
    serving: Annotated[Serving | None, Says("What runs the stage's version; absent: the stage only says which version it stands for.")] = (
        None
    )


class ModelSpec(meta.Object):
    """What a team asks for."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            schema.one_way("lifecycle", "'Retired'", "Retired is final: put lifecycle: Retired back, or create a Model of another name")
        )
    )

    description: Annotated[str | None, Says("What the model does, for people.", maxLength=4096)] = None
    owner: Annotated[Owner, Says("Who answers for the model.")]
    intended_use: Annotated[str | None, Says("What the model is for, and what it is not for.", maxLength=4096)] = None
    risk_tier: Annotated[RiskTier | None, Says("How much harm it can do: decides which documentation is complete; absent: Low.")] = None
    tags: meta.Tags | None = None
    lifecycle: Annotated[
        ModelLifecycle | None, Says("Retired, which is final, decommissions everything that the model serves; absent: Active.")
    ] = None
    lifecycle_reason: Annotated[str | None, Says("Why lifecycle is as it is. May change.", maxLength=1024)] = None
    storage: Annotated[Storage, Says("Where the model's artifacts and evidence live.")]
    aliases: Annotated[
        dict[str, meta.VersionName] | None,
        Says(
            "Names that people and clients may point at, each with a version; `modelyard` takes @NAME wherever it takes a version.",
            Rule(
                "self.all(a, a.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(a) <= 40)",
                "an alias is a letter, then lower-case letters, digits and dashes, at most 40 characters, like champion",
            ),
            maxProperties=16,
        ),
    ] = None
    stages: Annotated[
        list[Stage] | None,
        Says(
            "The stages; their order means nothing, gates.after does. Absent: development, staging and production, each after the one before.",
            *STAGES,
            **schema.listed_by("name", most=16, least=1),
        ),
    ] = None


class VersionCounts(meta.Object):
    """How many versions a model has."""

    total: Annotated[int, Says("All ModelVersions of the model.", format="int32")] = 0
    ready: Annotated[int, Says("Those that are Ready.", format="int32")] = 0
    latest: Annotated[str | None, Says("The highest Ready version, as SemVer orders them.")] = None
    held: Annotated[int | None, Says("Those whose objects are under a legal hold of the operator's; absent: none.", format="int32")] = None


class StagePromotion(meta.Object):
    """The promotion that holds a stage."""

    name: Annotated[str, Says("Name of the Promotion.")]
    uid: Annotated[str, Says("Its metadata.uid.")]
    version: Annotated[str, Says("The version that it brings.")]
    step: Annotated[int | None, Says("The canary's step, from 1.", format="int32")] = None
    weight: Annotated[int | None, Says("Share of the traffic for the version, in percent.", format="int32")] = None


class CandidateStatus(meta.Object):
    """What runs beside the stage's version."""

    version: Annotated[str, Says("The version that is being tried.")]
    available: Annotated[int, Says("Its available pods.", format="int32")] = 0


class ServingStatus(meta.Object):
    """What runs for a stage."""

    deployment: Annotated[str, Says("Name of the Deployment, and of the Service.")]
    desired: Annotated[int | None, Says("Pods asked for.", format="int32")] = None
    available: Annotated[int | None, Says("Pods available.", format="int32")] = None
    template: Annotated[
        str | None, Says("sha256 of the rendered pod template that the stage stands for, content-addressed in the operator's bucket.")
    ] = None
    source: Annotated[str | None, Says("sha256 of the stage's `serving` as it was when that template was rendered.")] = None
    refused: Annotated[
        str | None, Says("sha256 of the `serving` that did not become available and was put back; tried again only when it changes.")
    ] = None
    candidate: Annotated[CandidateStatus | None, Says("The version beside it during a canary or blue-green rollout.")] = None


class StageRollout(meta.Object):
    """What is being rolled out in a stage: for the promotion that holds it, or because its template changed."""

    version: Annotated[str, Says("The version whose pods are being started.")]
    template: Annotated[str | None, Says("sha256 of its rendered pod template; absent: the stage serves nothing.")] = None
    source: Annotated[str | None, Says("sha256 of the stage's `serving` that it was rendered from.")] = None
    since: Annotated[meta.Timestamp, Says("When it began.")]


class Hold(meta.Object):
    """autoPromote rests."""

    since: Annotated[meta.Timestamp, Says("Since when.")]
    promotion: Annotated[str, Says("The Promotion whose rollback began it.")]


class StageStatus(meta.Object):
    """What a stage stands for, and what is happening to it."""

    name: Annotated[str, Says("Name of the stage.")]
    current: Annotated[str | None, Says("The version that the stage stands for.")] = None
    digest: Annotated[str | None, Says("Digest of that version's artifact.")] = None
    previous: Annotated[str | None, Says("The version before it.")] = None
    since: Annotated[meta.Timestamp | None, Says("Since when the stage stands for current.")] = None
    promotion: Annotated[StagePromotion | None, Says("The Promotion that holds the stage now.")] = None
    rollout: Annotated[StageRollout | None, Says("What is being rolled out now.")] = None
    serving: Annotated[ServingStatus | None, Says("What runs for the stage.")] = None
    hold: Annotated[Hold | None, Says("After a rollback autoPromote rests, until a person makes a Promotion.")] = None


class LedgerStatus(meta.Object):
    """The anchor of the model's chain in the ledger."""

    sequence: Annotated[int, Says("Number of the last record.", format="int64")] = 0
    head: Annotated[str | None, Says("Digest of the last record.")] = None
    unrecorded: Annotated[list[str] | None, meta.UNRECORDED] = None


class ModelStatus(meta.Object):
    """What the operator found and did; nobody else writes it."""

    observed_generation: meta.ObservedGeneration = -1
    conditions: meta.Conditions = []
    versions: Annotated[VersionCounts | None, Says("How many versions there are.")] = None
    stages: Annotated[list[StageStatus] | None, Says("The stages as they are.", **schema.listed_by("name", most=64))] = None
    ledger: Annotated[LedgerStatus | None, Says("How far the model's history is recorded.")] = None
    recorded: Annotated[meta.Recorded | None, meta.RECORDED] = None


class Model(meta.Resource):
    """One model of a team: who owns it, where its artifacts live, its stages, and what each stage demands and serves."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            Rule(
                "size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "metadata.name must be a letter, then lower-case letters, digits and dashes, at most 40 characters, like fraud: rename the object",
            )
        )
    )

    kind: str = "Model"
    spec: ModelSpec
    status: ModelStatus = ModelStatus()


DEFAULT_PROGRESS_DEADLINE = datetime.timedelta(minutes=10)

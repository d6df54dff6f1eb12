"""What every kind shares: the base of its models, names, digests, durations, metadata and conditions."""

from __future__ import annotations

import datetime
import enum
import re
from typing import Annotated, Any, Final

import pydantic
from pydantic import alias_generators

from modelyard.api.openapi import schema
from modelyard.api.openapi.schema import Says

GROUP: Final = "modelyard.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

_UNITS: Final = {"h": "hours", "m": "minutes", "s": "seconds", "ms": "milliseconds"}
# At most six digits a part: what the API server lets in can never overflow a timedelta.
_DURATION: Final = r"^([0-9]{1,6}(\.[0-9]{1,3})?(ms|h|m|s))+$"
_YEAR: Final = r"(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_TIME: Final = rf"^{_YEAR}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(\.[0-9]{{1,9}})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
_IDENTIFIER: Final = r"(0|[1-9][0-9]*|[0-9]*[a-z]([0-9a-z-]*[0-9a-z])?|[0-9]+-([0-9a-z-]*[0-9a-z])?)"
_NUMBER: Final = r"(0|[1-9][0-9]*)"
_SEGMENT: Final = r"[^/\\\x00-\x1f\x7f]+"
_BUCKET: Final = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"


class Object(pydantic.BaseModel):
    """The base of everything users write: frozen, camelCase outside, and lenient about fields it does not know.

    The API server is strict; the operator is not, or an old operator would trip over a newer CRD.
    """

    model_config = pydantic.ConfigDict(
        frozen=True, extra="ignore", alias_generator=alias_generators.to_camel, populate_by_name=True, ser_json_inf_nan="strings"
    )

    def dump(self) -> dict[str, Any]:
        """As the API server stores it: camelCase, JSON types, nothing that was not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def read_duration(value: str) -> datetime.timedelta:
    """What `write_duration` writes, and whatever else Go takes: `90s`, `1.5h`, `1h30m`; ValueError when it is none."""
    if not re.fullmatch(_DURATION, value):
        raise ValueError(f"{value!r} is no duration; write it like 90s, 10m or 1h30m")
    parts = re.findall(r"([0-9.]+)(ms|h|m|s)", value)
    return sum((datetime.timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), datetime.timedelta())


def _if_text(value: object) -> object:
    return read_duration(value) if isinstance(value, str) else value


def write_duration(value: datetime.timedelta) -> str:
    """Go-style, largest unit first: `1h30m`, `90s` as `1m30s`, `0s`."""
    milliseconds = round(value.total_seconds() * 1000)
    text = ""
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _write_time(value: datetime.datetime) -> str:
    return value.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _in_utc(value: datetime.datetime) -> datetime.datetime:
    """The same moment in UTC; one beyond the years 1 to 9999 there, which the API server lets in, is the last or first that is not."""
    try:
        return value.astimezone(datetime.UTC)
    except OverflowError:
        first, last = datetime.datetime.min.replace(tzinfo=datetime.UTC), datetime.datetime.max.replace(tzinfo=datetime.UTC)
        return first if value.year == 1 else last


Duration = Annotated[
    datetime.timedelta,
    pydantic.BeforeValidator(_if_text),
    pydantic.PlainSerializer(write_duration, return_type=str),
    schema.matching(_DURATION, "write a duration like 90s, 10m or 1h30m", most=32),
    Says(format=None),
]
Timestamp = Annotated[
    pydantic.AwareDatetime,
    pydantic.AfterValidator(_in_utc),
    pydantic.PlainSerializer(_write_time, return_type=str),
    Says(format="date-time", pattern=_TIME, maxLength=35),
]

_NO_DOTS: Final = schema.Rule(
    "!self.contains('/./') && !self.contains('/../') && !self.endsWith('/.') && !self.endsWith('/..')",
    "a URI cannot have `.` or `..` as a segment: write out the folder",
)
ModelName = Annotated[
    str,
    schema.matching(
        r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
        "a model's name is a letter, then lower-case letters, digits and dashes, at most 40 characters, like fraud",
        most=40,
    ),
]
StageName = Annotated[
    str,
    schema.matching(
        r"^[a-z][a-z0-9]{0,11}$",
        "a stage's name is a lower-case letter, then at most 11 lower-case letters or digits, like production",
        most=12,
    ),
]
VersionName = Annotated[
    str,
    schema.matching(
        rf"^{_NUMBER}(\.{_NUMBER}\.{_NUMBER}(-{_IDENTIFIER}(\.{_IDENTIFIER})*)?)?$",
        'a version is lower-case SemVer without build metadata or a plain number, in quotes, like "1.4.0", "1.5.0-rc.1" or "7"',
        most=40,
    ),
]
GateName = Annotated[
    str,
    schema.matching(
        r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
        "a gate's name is a letter, then lower-case letters, digits and dashes, at most 40 characters, like risk",
        most=40,
    ),
]
MetricName = Annotated[
    str,
    schema.matching(
        r"^[A-Za-z_][A-Za-z0-9_./@:-]*$",
        "a metric's name starts with a letter and has no spaces, at most 128 characters, like auc or auc@holdout-2026q3",
        most=128,
    ),
]
Digest = Annotated[
    str,
    schema.matching(
        r"^sha256:[0-9a-f]{64}$", "a digest is sha256: and 64 lower-case hexadecimal digits, as sha256sum prints them", most=71
    ),
]
ObjectName = Annotated[
    str,
    schema.matching(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "give the name of an object in this namespace: lower-case letters, digits, dashes and dots",
        most=253,
    ),
]
Prefix = Annotated[
    str,
    schema.matching(
        rf"^{_BUCKET}/({_SEGMENT}/)*$", "give a folder, ending in `/`, without empty segments, like s3://models/fraud/", _NO_DOTS, most=1024
    ),
]
File = Annotated[
    str,
    schema.matching(
        rf"^{_BUCKET}/({_SEGMENT}/)*{_SEGMENT}$",
        "give one object, without empty segments, like s3://models/fraud/evidence/report.pdf",
        _NO_DOTS,
        most=1024,
    ),
]
PrefixOrFile = Annotated[
    str,
    schema.matching(
        rf"^{_BUCKET}/({_SEGMENT}/)*({_SEGMENT})?$",
        "give a folder, ending in `/`, or one object, without empty segments, like s3://models/fraud/1.4.0/",
        _NO_DOTS,
        most=1024,
    ),
]
Url = Annotated[
    str,
    schema.matching(
        r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$",
        "give an http or https URL without credentials or query, like http://store.example.com:9000",
        most=512,
    ),
]


class OwnerReference(Object):
    """Who an object belongs to."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class ObjectMeta(Object):
    """The part of Kubernetes' metadata that the operator reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class ConditionStatus(enum.StrEnum):
    """Kubernetes' three values of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Object):
    """One aspect of an object's state, as the Kubernetes API conventions define it."""

    type: Annotated[str, Says("What is told about, such as Ready.")]
    status: Annotated[ConditionStatus, Says("Whether it is so; Unknown while a dependency of ours does not answer.")]
    reason: Annotated[str, Says("One word for programs, from a closed list; the manual explains each.")]
    message: Annotated[str, Says("For a person: what is wrong, and who can put it right.")] = ""
    observed_generation: Annotated[int, Says("The metadata.generation that this was judged on.", format="int64")] = 0
    last_transition_time: Annotated[Timestamp, Says("When status last changed.")]


ObservedGeneration = Annotated[
    int, Says("The metadata.generation that this status is about; -1 until the operator has seen the object.", format="int64")
]
Conditions = Annotated[list[Condition], Says("The state of the object in aspects.", **schema.listed_by("type", most=16))]
Tags = Annotated[
    dict[str, Annotated[str, Says(maxLength=256)]],
    Says("Free text by key, at most 64 keys of at most 64 characters.", maxProperties=64),
]


class Recorded(Object):
    """The newest spec that the ledger has."""

    generation: Annotated[int, Says("Its metadata.generation.", format="int64")]
    spec: Annotated[str, Says("sha256 of the whole spec as canonical JSON, content-addressed in the operator's bucket.")]


UNRECORDED: Final = Says(
    "What was done for safety while the ledger did not answer; recorded as soon as it does.", **{schema.LIST_TYPE: "atomic"}
)
RECORDED: Final = Says("The newest spec that the ledger has, with who wrote it.")


class Resource(Object):
    """A whole Kubernetes object of one of our kinds."""

    api_version: str = API_VERSION
    kind: str = ""
    metadata: ObjectMeta

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.metadata.namespace, self.metadata.name

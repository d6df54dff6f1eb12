"""Objects that the manuals allow: drawn at random, and the largest of each kind."""

from __future__ import annotations

import string
from typing import Any, Final

from hypothesis import strategies as st

from modelyard.api import lineage, meta, model, modelversion, promotion
from modelyard.api.gates import EvidenceType
from modelyard.api.serving import NoData, Strategy

_LETTERS: Final = string.ascii_lowercase
_HEX: Final = "0123456789abcdef"


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": meta.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _some(always: dict[str, st.SearchStrategy[Any]], sometimes: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(always, optional=sometimes)


def _rows(row: st.SearchStrategy[dict[str, Any]], *keys: str, most: int, least: int = 0) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(row, min_size=least, max_size=most, unique_by=lambda entry: tuple(entry[key] for key in keys))


def one_of(values: Any) -> st.SearchStrategy[str]:
    """A value of an enum, as text."""
    return st.sampled_from([str(value) for value in values])


# Any text that JSON and etcd keep as it is: no surrogates, no NUL.
TEXT: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)
# Doubles that Go and Python write alike, whole numbers too.
NUMBER: Final = st.floats(-1e12, 1e12, allow_subnormal=False)
DIGEST: Final = st.text(_HEX, min_size=64, max_size=64).map("sha256:{}".format)
DURATION: Final = st.from_regex(r"\A[1-9][0-9]{0,5}(s|m|h)\Z") | st.sampled_from(["1h30m", "1.5h", "1500ms"])
TIME: Final = st.datetimes().map(lambda time: time.strftime("%H:%M:%S")).map("2026-10-03T{}Z".format)
MODEL: Final = st.from_regex(r"\A[a-z]([-a-z0-9]{0,38}[a-z0-9])?\Z")
STAGE: Final = st.from_regex(r"\A[a-z][a-z0-9]{0,11}\Z").filter(lambda name: name != "candidate")
VERSION: Final = st.from_regex(r"\A(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]?)\.(0|[1-9][0-9]?)(-(rc|beta|0a)(\.[1-9][0-9]?)?)?)?\Z")
METRIC: Final = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_./@:-]{0,40}\Z")
OBJECT: Final = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?\Z")
SEGMENT: Final = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=10).filter(
    lambda segment: segment not in {".", ".."}
)
FOLDER: Final = st.lists(SEGMENT, max_size=3).map(lambda parts: "s3://models/" + "".join(f"{part}/" for part in parts))
FILE: Final = st.lists(SEGMENT, min_size=1, max_size=3).map(lambda parts: "s3://models/" + "/".join(parts))
TAGS: Final = st.dictionaries(TEXT, TEXT, max_size=4)


@st.composite
def gates(draw: st.DrawFn, earlier: list[str], all_stages: list[str]) -> dict[str, Any]:
    """Gates of a stage that comes after some of the earlier ones."""
    limits = st.one_of(
        st.fixed_dictionaries({"atLeast": NUMBER}),
        st.fixed_dictionaries({"atMost": NUMBER}),
        _some({"notWorseThan": st.sampled_from(all_stages)}, {"tolerance": st.floats(0, 1)}),
    )
    row = st.tuples(METRIC, limits).map(lambda parts: {"name": parts[0], **parts[1]})
    people = _some({"name": MODEL}, {"required": st.integers(1, 16), "allowServiceAccounts": st.booleans()})
    result = draw(
        _some(
            {},
            {
                "metrics": _rows(row, "name", least=1, most=4),
                "evidence": st.lists(one_of(EvidenceType), min_size=1, max_size=4, unique=True),
                "documentation": st.booleans(),
                "approvals": _rows(people, "name", least=1, most=3).filter(lambda rows: sum(one.get("required", 1) for one in rows) <= 24),
            },
        )
    )
    if bool(earlier) and draw(st.booleans()):
        result["after"] = draw(st.lists(st.sampled_from(earlier), min_size=1, max_size=4, unique=True))
        if draw(st.booleans()):
            result["servedFor"] = draw(DURATION)
    return result


@st.composite
def serving(draw: st.DrawFn) -> dict[str, Any]:
    """What a stage serves with, under any strategy."""
    template = {"spec": {"containers": [{"name": "server", "image": "server:1", "args": draw(st.lists(TEXT, max_size=2))}]}}
    result = draw(
        _some(
            {"template": st.just(template), "port": st.integers(1, 65535)},
            {"replicas": st.integers(0, 100), "strategy": one_of(Strategy), "progressDeadline": DURATION},
        )
    )
    if result.get("strategy") == "Canary":
        weights = sorted(draw(st.lists(st.integers(0, 100), min_size=1, max_size=5)))
        pause = _some({}, {"pause": DURATION | st.just("Manual")})
        result["steps"] = [{"weight": weight, **draw(pause)} for weight in weights]
    if result.get("strategy") in {"Canary", "BlueGreen"} and draw(st.booleans()):
        row = _some(
            {"name": MODEL, "prometheus": st.just("http://prometheus.monitoring.svc:9090/"), "query": TEXT, "atMost": NUMBER},
            {"interval": DURATION, "failureLimit": st.integers(0, 100), "noData": one_of(NoData)},
        )
        result["analysis"] = draw(_rows(row, "name", least=1, most=3))
    return result


@st.composite
def stages(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Stages, each of which may come after any that are listed before it."""
    names = draw(st.lists(STAGE, min_size=1, max_size=5, unique=True))
    result = []
    for number, name in enumerate(names):
        row = _some(
            {"name": st.just(name)},
            {
                "autoPromote": st.booleans(),
                "frozen": _some({"reason": TEXT}, {"until": TIME}),
                "gates": gates(names[:number], names),
                "serving": serving(),
            },
        )
        result.append(draw(row))
    return draw(st.permutations(result))


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    """Any Model."""
    secret = st.fixed_dictionaries({"secretName": OBJECT})
    storage = _some(
        {"uri": FOLDER},
        {
            "endpoint": st.sampled_from(["http://store.example.com:7070", "https://s3.example.com"]),
            "region": st.just("eu-central-1"),
            "credentials": secret,
            "servingCredentials": secret,
            "caBundle": st.fixed_dictionaries({"configMapName": OBJECT}),
        },
    )
    spec = _some(
        {"owner": _some({"team": TEXT}, {"contact": TEXT}), "storage": storage},
        {
            "description": TEXT,
            "intendedUse": TEXT,
            "riskTier": one_of(model.RiskTier),
            "tags": TAGS,
            "lifecycle": one_of(model.ModelLifecycle),
            "aliases": st.dictionaries(MODEL, VERSION, max_size=4),
            "stages": stages(),
        },
    )
    return _object("Model", draw(MODEL), draw(spec))


@st.composite
def modelversions(draw: st.DrawFn) -> dict[str, Any]:
    """Any ModelVersion."""
    artifact = _some({"uri": FOLDER, "digest": DIGEST, "format": one_of(modelversion.Format)}, {}) | _some(
        {"uri": FILE, "format": one_of(modelversion.Format)}, {"digest": DIGEST}
    )
    training = _some(
        {},
        {
            "runId": TEXT,
            "source": st.fixed_dictionaries({"repository": TEXT, "commit": st.text(_HEX, min_size=7, max_size=40)}),
            "image": TEXT,
            "framework": _some({"name": TEXT}, {"version": TEXT}),
            "parameters": TAGS,
            "seed": st.integers(-(2**63), 2**63 - 1),
            "startedAt": st.just("2026-10-01T00:00:00Z"),
            "finishedAt": TIME,
        },
    )
    dataset = _some({"name": TEXT, "role": one_of(lineage.DatasetRole)}, {"uri": st.just("s3://data/x/"), "digest": DIGEST})
    parent = st.fixed_dictionaries({"version": VERSION, "relation": one_of(lineage.Relation)})
    evidence = _some(
        {"name": OBJECT, "type": one_of(EvidenceType), "uri": FILE, "sha256": DIGEST},
        {"title": TEXT, "author": TEXT, "issuedAt": TIME},
    )
    tensor = _some({"name": TEXT, "type": TEXT}, {"shape": st.lists(st.integers(-1, 2**40), max_size=4)})
    words = ("limitations", "trainingDataSummary", "ethicalConsiderations", "humanOversight")
    spec = _some(
        {"model": MODEL, "version": VERSION, "artifact": artifact},
        {
            "training": training,
            "metrics": st.dictionaries(METRIC, NUMBER, max_size=5),
            "lineage": _some({}, {"datasets": _rows(dataset, "name", "role", most=4), "parents": _rows(parent, "version", most=3)}),
            "evidence": _rows(evidence, "name", most=3),
            "card": _some({}, dict.fromkeys(words, TEXT)),
            "signature": _some({}, {"inputs": _rows(tensor, "name", most=3), "outputs": _rows(tensor, "name", most=3)}),
            "lifecycle": one_of(modelversion.VersionLifecycle),
            "lifecycleReason": TEXT,
            "description": TEXT,
            "tags": TAGS,
        },
    )
    drawn = draw(spec)
    return _object("ModelVersion", f"{drawn['model']}-{drawn['version']}", drawn)


@st.composite
def promotions(draw: st.DrawFn) -> dict[str, Any]:
    """Any Promotion."""
    approval = _some(
        {"user": TEXT, "gate": MODEL, "decision": one_of(promotion.Decision)},
        {"subject": DIGEST, "comment": TEXT},
    )
    flags = {field: st.booleans() for field in ("rollback", "paused", "abort")}
    spec = _some(
        {"model": MODEL, "version": VERSION, "stage": STAGE},
        {"reason": TEXT, "requestedBy": TEXT, "approvals": _rows(approval, "user", "gate", most=4), **flags},
    )
    return _object("Promotion", draw(OBJECT), draw(spec))


KINDS: Final = {"Model": models(), "ModelVersion": modelversions(), "Promotion": promotions()}

_DIGEST: Final = "sha256:" + 64 * "a"


def largest_model() -> dict[str, Any]:
    """Sixteen stages, each after all behind it, with every list as long as it may be."""
    names = [f"abcdefghijk{letter}" for letter in _LETTERS[:16]]
    metrics = [{"name": f"m{number:0127}", "notWorseThan": names[-1]} for number in range(32)]
    people = [{"name": f"a{number:039}"} for number in range(8)]
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        demands: dict[str, Any] = {"metrics": metrics, "approvals": people, "servedFor": "1h30m", "after": names[number + 1 :]}
        if not demands["after"]:
            del demands["after"], demands["servedFor"]
        canary = {
            "template": {"spec": {"containers": [{"name": "server"}]}},
            "port": 8080,
            "strategy": "Canary",
            "steps": [{"weight": weight, "pause": "10m"} for weight in range(20)],
            "analysis": [
                {"name": f"a{number:039}", "prometheus": "http://" + 500 * "p", "query": 2000 * "q", "atMost": 1, "interval": "1m"}
                for number in range(16)
            ],
            "progressDeadline": "1h1m1s",
        }
        rows.append({"name": name, "gates": demands, "serving": canary})
    storage = {"uri": "s3://models/" + 500 * "f/"}
    aliases = {f"a{number:039}": "1.0.0-" + 34 * "a" for number in range(16)}
    return _object("Model", "m" + 39 * "a", {"owner": {"team": "t"}, "storage": storage, "aliases": aliases, "stages": rows})


def largest_version() -> dict[str, Any]:
    """Every list, map and text as long as it may be, all together below etcd's 1.5 MiB."""
    tensors = [{"name": f"{number:0128}", "type": 64 * "t", "shape": 16 * [-1]} for number in range(64)]
    documents = [
        {"name": f"{number:063}", "type": "Other", "uri": "s3://models/" + 900 * "e", "sha256": _DIGEST, "title": 256 * "t"}
        for number in range(64)
    ]
    data = [{"name": f"{number:0253}", "role": "Training", "uri": "s3://data/" + 900 * "d", "digest": _DIGEST} for number in range(64)]
    spec = {
        "model": "m" + 39 * "a",
        "version": "1.0.0-" + 34 * "a",
        "artifact": {"uri": "s3://models/" + 500 * "f/", "digest": _DIGEST, "format": "other"},
        "training": {"parameters": {f"{number:0100}": 1024 * "p" for number in range(256)}},
        "metrics": {f"m{number:0127}": number + 0.5 for number in range(128)},
        "lineage": {"datasets": data, "parents": [{"version": f"{number + 1}", "relation": "MergedFrom"} for number in range(16)]},
        "evidence": documents,
        "card": dict.fromkeys(("limitations", "trainingDataSummary", "ethicalConsiderations", "humanOversight"), 16384 * "c"),
        "signature": {"inputs": tensors, "outputs": tensors},
    }
    return _object("ModelVersion", f"{spec['model']}-{spec['version']}", spec)


def largest_promotion() -> dict[str, Any]:
    """As many approvals as there may be, each as long as it may be."""
    approvals = [
        {"user": f"{number:0256}", "gate": f"a{number:039}", "decision": "Approved", "subject": _DIGEST, "comment": 1024 * "c"}
        for number in range(32)
    ]
    spec = {"model": "m" + 39 * "a", "version": "1", "stage": "abcdefghijkl", "reason": 1024 * "r", "requestedBy": 256 * "u"}
    return _object("Promotion", "largest", {**spec, "approvals": approvals})

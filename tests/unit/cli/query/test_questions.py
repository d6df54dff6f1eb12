"""history, explain, dossier, diff and status: what people ask, and what they are told."""

from __future__ import annotations

import datetime
import errno
import html.parser
import json
import os
import pathlib
from typing import Any

import pytest

from modelyard.audit.dossier import bundle, dossier
from modelyard.cli.query import dossier_html
from modelyard.content import digest, manifest
from modelyard.ledger.record import BY_OPERATOR, Action, Actor, Authenticity, Subject, entry
from tests.fakes import apiserver, chronicle
from tests.fakes.s3 import S3
from tests.unit.cli import typed

VERSION = "1.5.0-rc.1"
EVIL = "<script>alert(1)</script>\" onmouseover='x' {{7*7}} \x1b[2J\x9b31m \u202e&amp;]]>-->"


@pytest.fixture
def exported(tmp_path: pathlib.Path) -> pathlib.Path:
    """An exported ledger with the samples' model."""
    return chronicle.export(tmp_path / "exported", *chronicle.credit())


def test_history_is_a_timeline_with_the_gaps_in_it(person: typed.Person, exported: pathlib.Path) -> None:
    ended = person.types("history", "credit", "--from", exported, "--since", "2026-10-03 15:04", "--until", "2026-10-03T15:15:21Z")

    lines = ended.out.splitlines()[1:]
    for line, (clock, what) in zip(
        lines,
        (
            ("15:04:20Z", "approved credit-1.5.0-rc.1-production-11 for the gate business"),
            ("15:04:20Z", "granted production to version 1.5.0-rc.1: 3 gates held"),
            ("15:05:20Z", "production serves 1.4.0 at 90 %, 1.5.0-rc.1 at 10 %"),
            ("15:10:20Z", "unobserved between 2026-10-03 15:10:20Z and 2026-10-03 15:15:20Z"),
            ("15:15:21Z", "production serves 1.4.0 at 50 %, 1.5.0-rc.1 at 50 %"),
        ),
        strict=True,
    ):
        assert line.startswith(f"2026-10-03 {clock}")
        assert what in line


def test_history_that_begins_while_nobody_watched_says_so_first(person: typed.Person, exported: pathlib.Path) -> None:
    ended = person.types("history", "credit", "--from", exported, "--since", "2026-10-03 15:12", "--until", "2026-10-03T15:15:21Z")

    first, second = ended.out.splitlines()[1:]
    assert "unobserved between 2026-10-03 15:10:20Z and 2026-10-03 15:15:20Z" in first
    assert "production serves 1.4.0 at 50 %" in second


def test_what_was_recorded_later_is_in_the_history_of_when_it_happened(person: typed.Person, tmp_path: pathlib.Path) -> None:
    story, operators = chronicle.Story(), chronicle.Operators()
    operators.begin(None)
    story.serving("production", {"1.1.0": 100})
    story.later(minutes=5)
    story.serve("production", {"1.0.0": 100})
    kept = story.served("production")
    story.later(minutes=30)
    story.write(looked=False)
    story.write(kept)
    folder = chronicle.export(tmp_path / "exported", story, operators)

    def told(since: str, until: str) -> list[str]:
        ended = person.types(
            "history", "credit", "--from", folder, "-o", "json", "--since", f"2026-10-03 {since}", "--until", f"2026-10-03 {until}"
        )
        return [one["what"] for one in json.loads(ended.out)]

    assert told("14:04", "14:06") == ["production serves 1.0.0 at 100 %"]
    assert told("14:06", "14:40") == []
    assert told("14:00", "14:40") == ["production serves 1.1.0 at 100 %", "production serves 1.0.0 at 100 %"]


def test_history_ends_with_the_last_record_whatever_the_clock_here_says(person: typed.Person, tmp_path: pathlib.Path) -> None:
    story, operators = chronicle.Story(), chronicle.Operators()
    operators.begin(None)
    story.model(chronicle.sample("model-full"))
    story.now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=3)
    story.register(chronicle.sample("modelversion-full"))
    folder = chronicle.export(tmp_path / "exported", story, operators)

    def told(*words: str) -> list[str]:
        return [one["action"] for one in json.loads(person.types("history", "credit", "--from", folder, "-o", "json", *words).out)]

    assert told()[-2:] == ["ModelCreated", "Registered"]
    assert told("--until", "now")[-1] == "ModelCreated"


def test_history_as_data_says_how_it_is_known_who_did_it(person: typed.Person, exported: pathlib.Path) -> None:
    found = json.loads(person.types("history", "credit", "--from", exported, "-o", "json").out)

    assert {(one["who"], one["known"]) for one in found if one["action"] == "Registered"} == {(chronicle.CI.name, "Declared")}
    assert [one["record"] for one in found if one["action"] != "Unobserved"] == list(range(1, 25))


def test_explain_tells_people_what_served_and_where_it_came_from(person: typed.Person, exported: pathlib.Path) -> None:
    ended = person.types("explain", "credit", "--stage", "production", "--at", "2026-10-03T16:00Z", "--from", exported)

    assert ended.code == 0
    for words in (
        "1.5.0-rc.1 at 100 %",
        "https://git.example.com/credit/models at 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        "Approved by dave@example.com",
        "held: metrics/auc",
        "system:serviceaccount:ci:publisher (declared)",
        "vr-17",
    ):
        assert words in ended.out


def test_explain_says_that_nobody_watched(person: typed.Person, exported: pathlib.Path) -> None:
    ended = person.types("explain", "credit", "--stage", "production", "--at", "2026-10-03T15:12:00Z", "--from", exported)

    assert "unobserved between 2026-10-03 15:10:20Z and 2026-10-03 15:15:20Z" in ended.out
    assert "production: 1.4.0 at 50 %, 1.5.0-rc.1 at 50 %" in ended.out


@pytest.mark.parametrize("what", [("--version", VERSION), ("--digest", chronicle.digest(VERSION))])
def test_explain_tells_where_and_when_a_version_served(person: typed.Person, exported: pathlib.Path, what: tuple[str, str]) -> None:
    found = json.loads(person.types("explain", "credit", *what, "--from", exported, "-o", "json").out)

    assert [(one["version"], one["weight"]) for one in found["served"]] == [(VERSION, 10), (VERSION, 50), (VERSION, 100)]


def test_explain_finds_whichever_of_the_versions_with_the_same_bytes_served_then(person: typed.Person, tmp_path: pathlib.Path) -> None:
    story, same = chronicle.Story(), chronicle.digest("same")
    for version in ("1.0.0", "1.1.0"):
        story.register({**chronicle.sample("modelversion-full"), "version": version})
        about = Subject("ModelVersion", f"credit-{version}", f"uid-{version}", 1)
        story.write(entry(Action.VERIFIED, BY_OPERATOR, about, "read", same, {"version": version}))
    story.serving("production", {"1.1.0": 100})
    folder = chronicle.export(tmp_path / "exported", story, chronicle.Operators())

    ended = person.types("explain", "credit", "--digest", same, "--at", "2026-10-03T14:01Z", "--from", folder, "-o", "json")

    assert ended.code == 0
    assert [one["version"] for one in json.loads(ended.out)["versions"]] == ["1.1.0"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["explain", "credit", "--at", "yesterday"], 2, "write a time like"),
        (["explain", "credit", "--at", "2100-01-01"], 2, "has not come yet"),
        (["explain", "credit", "--version", "9.9.9"], 4, "the ledger knows no version 9.9.9"),
        (["explain", "credit", "--at", "2026-10-01"], 4, "nothing of credit served"),
        (["explain", "fraud"], 4, "no record of the model fraud"),
        (["dossier", "credit", "9.9.9"], 4, "the ledger knows no version 9.9.9"),
        (["diff", "credit", "1.4.0", "9.9.9"], 4, "it knows 1.4.0, 1.5.0-rc.1"),
        (["history", "credit", "-o", "name"], 2, "this verb prints table, json, yaml"),
        (["history", "credit", "--registry", "other"], 4, "has no registry 'other', check --registry; it has main"),
        (["explain", "credit", "--registry", "../.."], 4, "has no registry '../..'"),
    ],
)
def test_what_cannot_be_answered_says_why(person: typed.Person, exported: pathlib.Path, words: list[str], code: int, said: str) -> None:
    ended = person.types(*words, "--from", exported)

    assert ended.code == code
    assert said in ended.said


def test_a_folder_that_is_no_ledger_is_refused(person: typed.Person, tmp_path: pathlib.Path) -> None:
    assert "is no exported ledger" in person.types("history", "credit", "--from", tmp_path).said


@pytest.mark.parametrize("words", [("history", "credit"), ("dossier", "credit", VERSION, "-o", "json"), ("ledger", "verify")])
def test_a_record_that_the_system_does_not_let_us_read_is_named(
    person: typed.Person, exported: pathlib.Path, words: tuple[str, ...]
) -> None:
    record = exported / "ledger/main/risk/credit/0000000013.json"
    opened = os.open

    def refuse(path: Any, *how: Any, **more: Any) -> int:
        if path == record:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *how, **more)

    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(os, "open", refuse)
        ended = person.types(*words, "--from", exported)

    assert (ended.code, ended.out) == (2, "")
    assert f"{record}: cannot be read: Permission denied" in ended.said


def test_a_changed_record_is_told_on_the_way(person: typed.Person, exported: pathlib.Path) -> None:
    record = exported / "ledger/main/risk/credit/0000000013.json"
    record.write_bytes(record.read_bytes().replace(b"looked at it", b"saw nothing."))

    ended = person.types("ledger", "verify", "credit", "--from", exported)

    assert ended.code == 3
    assert "Unchained 14" in ended.out


def test_the_ledger_is_read_from_the_bucket_that_the_operator_has(
    person: typed.Person, s3: S3, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for writer in chronicle.credit():
        for key, data in chronicle._files([writer]):
            s3.put(f"own/here/{key}", data)
    variables = {"MODELYARD_BUCKET__URI": "s3://own/here/", "MODELYARD_BUCKET__ENDPOINT": s3.endpoint, "MODELYARD_LEDGER__REGISTRY": "main"}
    env = [{"name": name, "value": value} for name, value in variables.items()]
    deployment = {"spec": {"template": {"spec": {"containers": [{"name": "operator", "env": env}]}}}}
    with apiserver.run(tmp_path, {"/apis/apps/v1/namespaces/modelyard-system/deployments": [deployment]}) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        ended = person.types("explain", "credit", "--stage", "production", "--at", "2026-10-03T16:00Z")

    assert ended.code == 0
    assert "1.5.0-rc.1 at 100 %" in ended.out


def test_without_a_cluster_it_says_how_to_name_the_ledger(person: typed.Person) -> None:
    ended = person.types("history", "credit")

    assert ended.code == 1
    assert "--bucket s3://NAME/ (or MODELYARD_BUCKET__URI), or to only read an exported one --from FOLDER" in ended.said


def test_diff_tells_parameters_metrics_data_and_files(person: typed.Person, tmp_path: pathlib.Path) -> None:
    story = chronicle.Story()
    new = chronicle.sample("modelversion-full")
    old = json.loads(json.dumps(new)) | {"version": "1.4.0", "metrics": {"auc": 0.921}}
    old["training"]["parameters"]["eta"] = "0.3"
    old["lineage"]["datasets"][0]["digest"] = chronicle.digest("older")
    for spec, content in ((old, "a"), (new, "b")):
        files = [
            manifest.File("model.onnx", 5, chronicle.digest(content)[7:], "e"),
            manifest.File("same", 1, chronicle.digest("s")[7:], "e"),
        ]
        data = manifest.write_manifest(manifest.manifest(files))
        story.blobs[digest.named(data)] = data
        story.register(spec)
        story.verify(spec["version"], manifest=digest.named(data))

    folder = chronicle.export(tmp_path / "exported", story)
    found = json.loads(person.types("diff", "credit", "1.4.0", VERSION, "--from", folder, "-o", "json").out)
    table = person.types("diff", "credit", "1.4.0", VERSION, "--from", folder).out

    assert found["parameters"] == [{"name": "eta", "before": "0.3", "after": "0.1"}]
    assert next((one["name"], one["change"]) for one in found["metrics"]) == ("auc", pytest.approx(0.013))
    assert [one["name"] for one in found["datasets"]] == ["loans-2026q2 (Training)"]
    assert [one["name"] for one in found["files"]] == ["model.onnx"]
    assert "+0.013" in table
    assert "same" not in table.split()


def test_dossier_writes_both_files_and_both_can_be_verified(person: typed.Person, exported: pathlib.Path, tmp_path: pathlib.Path) -> None:
    made = person.types("dossier", "credit", VERSION, "--from", exported, "--to", tmp_path / "out")

    assert made.code == 0
    assert "12 of 12 of what the risk tier High demands" in made.said
    for file in made.out.split():
        checked = person.types("dossier", "verify", file)
        compared = person.types("dossier", "verify", file, "--from", exported, "-o", "json")
        assert (checked.code, compared.code) == (0, 0)
        assert json.loads(compared.out) == {"file": file, "sound": True, "comparedWithLedger": True, "problems": []}


@pytest.mark.parametrize(
    ("kind", "was", "now"), [("json", '"value": "Retrained on', '"value": "Improved on'), ("html", ">credit-risk<", ">credit-fun<")]
)
def test_an_altered_dossier_is_found_out(
    person: typed.Person, exported: pathlib.Path, tmp_path: pathlib.Path, kind: str, was: str, now: str
) -> None:
    person.types("dossier", "credit", VERSION, "--from", exported, "--to", tmp_path)
    file = tmp_path / f"credit-{VERSION}.{kind}"
    text = file.read_text()
    assert was in text
    file.write_text(text.replace(was, now, 1))

    ended = person.types("dossier", "verify", file)

    assert ended.code == 3
    assert "1 difference" in ended.said


def test_a_dossier_of_another_past_is_found_out_by_the_ledger(person: typed.Person, exported: pathlib.Path, tmp_path: pathlib.Path) -> None:
    person.types("dossier", "credit", VERSION, "--from", exported, "--to", tmp_path)
    file = tmp_path / f"credit-{VERSION}.json"
    story, operators = chronicle.credit()
    story.later(minutes=1)
    story.lifecycle(Action.RETIRED, chronicle.sample("modelversion-full"), "another past")
    later = chronicle.export(tmp_path / "later", story, operators)
    del story.objects[24], story.objects[25]
    shorter = chronicle.export(tmp_path / "shorter", story, operators)

    older = person.types("dossier", "verify", file, "--from", later)
    assert older.code == 0
    assert "up to record 24 none of the version besides; it goes on to record 25: make the dossier anew" in older.said
    ended = person.types("dossier", "verify", file, "--from", shorter)
    assert (ended.code, ended.out.splitlines()[0]) == (3, "the ledger ends at 23, the dossier knows 24 records")


@pytest.mark.parametrize("name", ["page.html", "page.HTM", "dossier.json"])
def test_what_shows_one_thing_and_says_another_is_no_dossier(
    person: typed.Person, exported: pathlib.Path, tmp_path: pathlib.Path, name: str
) -> None:
    text = person.types("dossier", "credit", VERSION, "--from", exported, "-o", "json").out
    (tmp_path / name).write_text(
        '{"format": "<h1>All is verified</h1><script src=https://example.com/x.js></script>", ' + text.lstrip()[1:]
    )

    ended = person.types("dossier", "verify", tmp_path / name, "--from", exported)

    assert ended.code == 2
    assert "is no dossier" in ended.said


OPERATOR_RECORD = "ledger/main/_/_operator/0000000002.json"
RECORD = "ledger/main/risk/credit/00000000{}.json"


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (
            OPERATOR_RECORD,
            "_operator/ does not tell of the term 2, so nobody knows who watched before it: look with `modelyard ledger verify _operator`",
        ),
        ("ledger/main/_/_operator/0000000001.json", "0000000001.json is missing: look with `modelyard ledger verify _operator`"),
        (RECORD.format("19"), "0000000019.json is missing: look with `modelyard ledger verify credit`"),
        (RECORD.format("22"), "0000000022.json is missing: look with `modelyard ledger verify credit`"),
    ],
)
def test_what_is_missing_is_said_with_every_answer(person: typed.Person, exported: pathlib.Path, gone: str, said: str) -> None:
    (exported / gone).unlink()

    for words in (["history", "credit"], ["explain", "credit", "--stage", "production"], ["dossier", "credit", VERSION, "-o", "json"]):
        ended = person.types(*words, "--from", exported)
        assert ended.code == 0
        assert said in ended.said


def test_what_served_is_not_told_from_before_a_hole(person: typed.Person, exported: pathlib.Path) -> None:
    words = ("explain", "credit", "--stage", "production", "--from", exported, "-o", "json")
    whole = json.loads(person.types(*words).out)["serves"]
    for number in range(10, 24):
        data = (exported / RECORD.format(number)).read_bytes()
        (exported / RECORD.format(number)).unlink()
        assert json.loads(person.types(*words).out)["serves"] == whole
        (exported / RECORD.format(number)).write_bytes(data)


def test_a_snapshot_that_is_gone_is_said_and_not_taken_for_nothing(
    person: typed.Person, exported: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    words = ("explain", "credit", "--version", VERSION, "--from", exported, "-o", "json")
    [version] = json.loads(person.types(*words).out)["versions"]
    (exported / "blobs/sha256" / version["spec"][7:]).unlink()
    said = f"the snapshot {version['spec']}, which the ledger names, is missing: look with `modelyard ledger verify credit`"

    assert said in json.loads(person.types(*words).out)["warnings"]
    assert said in person.types("diff", "credit", "1.4.0", VERSION, "--from", exported).said
    made = person.types("dossier", "credit", VERSION, "--from", exported, "--to", tmp_path)
    assert said in made.said
    assert f"not in the ledger any more: {version['spec']}" in made.said
    assert f'<span class="mono">{version["spec"]}</span>' in (tmp_path / f"credit-{VERSION}.html").read_text()
    assert person.types("dossier", "verify", tmp_path / f"credit-{VERSION}.html", "--from", exported).code == 0
    verified = person.types("ledger", "verify", "--from", exported)
    assert (verified.code, f"names the snapshot {version['spec']}: it is missing or was changed" in verified.out) == (3, True)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "<html></html>", '{"format": "modelyard.dev/dossier/v1", "attestation": {"records": [{}]}}']
)
def test_what_is_no_dossier_is_told(person: typed.Person, tmp_path: pathlib.Path, text: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)

    assert person.types("dossier", "verify", file).code in {2, 3}
    assert person.types("dossier", "verify", tmp_path / "none").code == 4


# --- what was written into a free text must stay text


class Tags(html.parser.HTMLParser):
    """The elements of a page, and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, tuple[str, ...]]] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.add((tag, tuple(sorted(name for name, _ in attributes))))


def evil(value: Any) -> Any:
    """Every text made hostile, but for what decides how it is read."""
    if isinstance(value, dict):
        return {
            key: one if key in {"version", "role", "type", "relation", "riskTier", "lifecycle"} else evil(one) for key, one in value.items()
        }
    if isinstance(value, list):
        return [evil(one) for one in value]
    return f"{value}{EVIL}" if isinstance(value, str) else value


def hostile() -> chronicle.Story:
    """A model whose every text wants to be more than text."""
    story = chronicle.Story()
    who = Actor(f"eve{EVIL}", Authenticity.AUTHENTICATED)
    spec = evil(chronicle.sample("modelversion-full"))
    spec["training"]["parameters"] |= {EVIL: EVIL}
    spec["metrics"] |= {EVIL: 1.5}
    story.model(evil(chronicle.sample("model-full")), who)
    story.register(spec, who)
    story.verify(VERSION)
    name = story.promote(VERSION, "production", [(who, f"risk{EVIL}")], reason=EVIL)
    story.serving("production", {VERSION: 100})
    story.finish(name, VERSION, "production", phase="Failed", message=EVIL)
    return story


def test_no_text_becomes_markup_on_the_page() -> None:
    tame, _ = chronicle.credit()
    pages = []
    for story in (tame, hostile()):
        found = dossier.make(bundle.gather(story.book(), None, VERSION), VERSION, "2026-10-05T08:00:00.000000Z")
        assert found
        pages.append(dossier_html.write(found))
        assert dossier_html.read(pages[-1]) == found
    seen = [Tags(), Tags()]
    for reader, text in zip(seen, pages, strict=True):
        reader.feed(text)

    assert seen[1].seen <= seen[0].seen
    assert pages[1].lower().count("<script") == 1  # the dossier itself, which no browser runs
    assert "\x1b" not in pages[1]
    assert "{{7*7}}" in pages[1]
    assert 'src="' not in pages[1]
    assert "http-equiv" in pages[1]


@pytest.mark.parametrize("words", ["@@the dossier itself@@", "{{ inside|safe }}"])
def test_no_text_takes_the_place_of_the_dossier_inside_its_page(words: str) -> None:
    story = chronicle.Story()
    story.register({**chronicle.sample("modelversion-full"), "description": f"Not to be used {words} at all"})
    found = dossier.make(bundle.gather(story.book(), None, VERSION), VERSION, "2026-10-05T08:00:00.000000Z")
    assert found

    shown, _, inside = dossier_html.write(found).partition("<script")

    assert f"Not to be used {words} at all" in shown
    assert inside.endswith("</script>\n</body>\n</html>")


@pytest.mark.parametrize(
    "words",
    [
        ("history", "credit"),
        ("explain", "credit", "--stage", "production"),
        ("explain", "credit", "--version", VERSION),
        ("dossier", "credit", VERSION),
        ("ledger", "verify"),
    ],
)
def test_no_text_reaches_the_terminal_as_a_command(person: typed.Person, tmp_path: pathlib.Path, words: tuple[str, ...]) -> None:
    folder = chronicle.export(tmp_path / "exported", hostile())
    more: list[str | pathlib.Path] = ["--to", tmp_path] if words[0] == "dossier" else []

    ended = person.types(*words, "--from", folder, *more)

    assert ended.code == 0
    for sign in ("\x1b", "\x9b", "\u202e"):
        assert sign not in ended.out + ended.said


# --- status


def test_status_tells_what_stands_where_and_what_waits_for_whom(
    person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = {"namespace": "risk", "creationTimestamp": "2026-10-03T14:00:00Z"}
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "all stages are as they should be"}
    stages = [
        {"name": "staging", "current": "1.5.0-rc.1", "since": "2026-10-03T14:00:00Z"},
        {
            "name": "production",
            "current": "1.4.0",
            "since": "2026-10-03T14:00:00Z",
            "serving": {"available": 3, "desired": 3},
            "hold": {"since": "2026-10-03T14:00:00Z", "promotion": "back"},
        },
    ]
    spec = {"stages": [{"name": "staging"}, {"name": "production", "frozen": {"reason": "year-end"}}]}
    said = {"conditions": [ready], "stages": stages, "versions": {"total": 2, "ready": 1}, "ledger": {"sequence": 24, "head": "sha256:ab"}}
    waiting = {
        "phase": "AwaitingApproval",
        "gates": [{"name": "approvals/risk", "passed": False, "message": "1 more for risk: of bob, carol"}],
    }
    lost = {"phase": "Quarantined", "conditions": [{**ready, "status": "False", "message": "model.onnx changed"}]}
    objects = {
        "/apis/modelyard.dev/v1alpha1/namespaces/risk/models/credit": {
            "metadata": {"name": "credit", **about},
            "spec": spec,
            "status": said,
        },
        "/apis/modelyard.dev/v1alpha1/namespaces/risk/modelversions": [
            {"metadata": {"name": f"credit-{VERSION}", **about}, "spec": {"model": "credit", "version": VERSION}, "status": lost}
        ],
        "/apis/modelyard.dev/v1alpha1/namespaces/risk/promotions": [
            {"metadata": {"name": "up", **about}, "spec": {"version": VERSION, "stage": "production"}, "status": waiting},
            {"metadata": {"name": "old", **about}, "spec": {"version": "1.4.0", "stage": "production"}, "status": {"phase": "Succeeded"}},
        ],
    }
    with apiserver.run(tmp_path, objects) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        ended = person.types("status", "credit")
        data = json.loads(person.types("status", "credit", "-o", "json").out)
        missing = person.types("status", "fraud")

    assert "frozen: year-end; autoPromote rests since a rollback (back)" in ended.out
    assert "1 more for risk: of bob, carol" in ended.out
    assert "model.onnx changed" in ended.out
    assert "24 records" in ended.out
    assert [one["promotion"] for one in data["waiting"]] == ["up"]
    assert missing.code == 4


# --- a model that is named as a verb is


@pytest.fixture
def named_verify(tmp_path: pathlib.Path) -> pathlib.Path:
    """An exported ledger with a model called `verify`."""
    story, operators = chronicle.Story("verify"), chronicle.credit()[1]
    story.model(chronicle.sample("model-full"))
    story.register({**chronicle.sample("modelversion-full"), "model": "verify", "version": "1.0.0"})
    return chronicle.export(tmp_path / "exported", story, operators)


def test_a_model_called_verify_has_a_dossier_too(person: typed.Person, named_verify: pathlib.Path, tmp_path: pathlib.Path) -> None:
    mistaken = person.types("dossier", "verify", "1.0.0", "--from", named_verify)
    made = person.types("dossier", "--to", tmp_path, "--from", named_verify, "--", "verify", "1.0.0")
    checked = person.types("dossier", "verify", tmp_path / "verify-1.0.0.json")

    assert mistaken.code == 4
    assert "`modelyard dossier -- verify 1.0.0`" in mistaken.said
    assert (made.code, checked.code) == (0, 0), made.said
    assert "every field of the dossier of verify 1.0.0" in checked.said

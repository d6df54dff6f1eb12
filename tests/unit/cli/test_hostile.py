"""What careless people type and hostile people write into objects: said literally, refused with a reason, and never a crash."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from modelyard.cli import app
from modelyard.cli.terminal import output
from tests.fakes import apiserver
from tests.unit.cli import typed

EVIL = "[red]free[/] text[/] \x1b[2J\x1b]0;owned\x07 \x9b31m \u202e\u2066 \x7f 'x' {{7*7}} %s"
PACKAGES = pathlib.Path(app.__file__).parents[2]
READY = {"type": "Ready", "status": "False", "reason": "Evil", "message": EVIL, "lastTransitionTime": "2026-10-01T00:00:00Z"}


@pytest.fixture
def objects(person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A registry in which every free text is hostile."""
    del person  # it names another kubeconfig: after it
    owner = {"team": EVIL, "contact": EVIL}
    card, tags = {"limitations": EVIL}, {EVIL: EVIL}
    training = {"runId": EVIL, "parameters": {EVIL: EVIL}, "image": EVIL}
    model = apiserver.model(
        owner=owner, description=EVIL, intendedUse=EVIL, tags=tags, stages=[{"name": "production", "frozen": {"reason": EVIL}}]
    )
    version = apiserver.version("1", "Pending", description=EVIL, tags=tags, card=card, training=training, lifecycleReason=EVIL)
    asks = apiserver.promotion(
        "asks", "1", "production", "AwaitingApproval", reason=f"{EVIL}\ngate risk: 1 person, approved by olga", requestedBy=EVIL
    )
    asks["status"] |= {"subject": f"sha256:{'a' * 64}", "approvals": [{"gate": "risk", "required": 1, "approvedBy": [EVIL]}]}
    for one in (model, version, asks):
        one["status"] |= {"conditions": [READY]}
    found = apiserver.registry(model, version, asks)
    with apiserver.run(tmp_path, found) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield found


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize(
    "words",
    [
        ("show", "fraud"),
        ("show", "fraud", "1"),
        ("status", "fraud"),
        ("list",),
        ("approve", "asks"),
        ("reject", "asks", "--comment", EVIL),
        ("retire", "fraud"),
        ("deprecate", "fraud", "1"),
        ("promote", "fraud", "1", "production", "--name", "asks"),
        *(("show", "fraud", "1", "-o", form) for form in ("json", "yaml")),
        *(("status", "fraud", "-o", form) for form in ("json", "yaml")),
        *(("list", "-o", form) for form in ("json", "yaml", "name")),
    ],
    ids=" ".join,
)
def test_no_text_of_an_object_reaches_the_terminal_as_a_command(person: typed.Person, words: tuple[str, ...]) -> None:
    ended = person.types(*words)

    assert ended.code in {0, 2, 3}
    for sign in ended.out + ended.said:
        assert sign == "\n" or sign.isprintable(), f"{sign!a} reached the terminal"
    if "-o" not in words and words[0] in {"show", "status", "approve"}:
        assert "[red]free[/] text[/]" in ended.out + ended.said


@pytest.mark.usefixtures("objects")
def test_a_reason_cannot_write_a_line_that_only_the_program_writes(person: typed.Person) -> None:
    lines = person.types("approve", "asks").said.splitlines()

    assert [line for line in lines if line.startswith("gate ")] == [
        line for line in lines if line.startswith("gate risk: 1 person, approved by [red]")
    ]
    assert any(line.startswith("reason: ") and line.endswith("\\ngate risk: 1 person, approved by olga") for line in lines)


STANDS = {"name": "production", "current": "2", "promotion": {"name": "asks"}, "serving": {}, "hold": {"since": "2026-10-01T00:00:00Z"}}


@pytest.fixture
def odd(person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A registry, by kind, in which a test writes what this release does not."""
    del person  # it names another kubeconfig: after it
    found = apiserver.registry(
        apiserver.model(stages=[{"name": "production"}]),
        apiserver.version("1"),
        apiserver.promotion("asks", "1", "production", "AwaitingApproval"),
    )
    with apiserver.run(tmp_path, found) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield {one["kind"]: one for one in found.values()}


@pytest.mark.parametrize(
    ("words", "kind", "changed", "said"),
    [
        (("retire", "fraud"), "Model", {"spec": {"riskTier": "Extreme"}}, "the Model fraud cannot be read: spec.riskTier: "),
        (("retire", "fraud"), "Model", {"status": {"stages": [STANDS]}}, "the Model fraud cannot be read: status.stages.0.promotion."),
        (("retire", "fraud", "1"), "ModelVersion", {"status": {"phase": "Archived"}}, "fraud-1 cannot be read: status.phase: "),
        (("deprecate", "fraud", "1"), "ModelVersion", {"spec": {"lifecycle": "Archived"}}, "fraud-1 cannot be read: spec.lifecycle: "),
        (
            ("push", __file__, "--model", "fraud", "--version", "2", "--format", "other"),
            "Model",
            {"spec": {"riskTier": "Extreme"}},
            "spec.riskTier: ",
        ),
        (
            ("attest", "fraud", "1", "--evidence", __file__, "--type", "Other"),
            "Model",
            {"spec": {"riskTier": "Extreme"}},
            "spec.riskTier: ",
        ),
        (
            ("approve", "asks"),
            "Promotion",
            {"status": {"subject": f"sha256:{'a' * 64}", "approvals": [{"gate": "risk", "required": "several"}]}},
            "status.approvals of the Promotion asks cannot be read: required: ",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_a_newer_release_wrote_is_named_and_so_is_the_way_out(
    person: typed.Person, odd: dict[str, Any], words: tuple[str, ...], kind: str, changed: dict[str, Any], said: str
) -> None:
    for part, fields in changed.items():
        odd[kind][part] |= fields

    ended = person.types(*words)

    assert (ended.code, ended.out) == (3, "")
    assert said in ended.said
    assert "upgrade modelyard" in ended.said


def test_a_promotion_of_a_newer_release_is_aborted_with_its_model(person: typed.Person, odd: dict[str, Any]) -> None:
    odd["Promotion"]["status"]["phase"] = "Observing"

    assert "1 unfinished promotion will be Aborted: asks" in person.types("retire", "fraud").said


@pytest.mark.parametrize("kind", ["Model", "ModelVersion", "Promotion"])
@pytest.mark.parametrize("words", [("retire", "fraud"), ("retire", "fraud", "1"), ("deprecate", "fraud", "1")], ids=" ".join)
def test_a_status_that_is_null_is_none(person: typed.Person, odd: dict[str, Any], words: tuple[str, ...], kind: str) -> None:
    odd[kind]["status"] = None

    ended = person.types(*words)

    assert ended.code == (2 if words[0] == "retire" else 0), ended.said


@pytest.mark.parametrize(
    "words",
    [
        ("show", "fraud"),
        ("show", "fraud", "1"),
        ("list",),
        ("status", "fraud"),
        ("rollback", "fraud", "production", "--reason", "x", "--to", "1"),
    ],
    ids=" ".join,
)
def test_half_a_status_is_shown_as_far_as_it_goes(person: typed.Person, odd: dict[str, Any], words: tuple[str, ...]) -> None:
    odd["Model"]["status"] |= {"stages": [STANDS]}
    odd["ModelVersion"]["status"] |= {"artifact": {"digest": "sha256:x"}, "stages": [{"name": "production"}]}
    odd["Promotion"]["status"] |= {
        "phase": "Superseded",
        "gates": [{"passed": False}],
        "conditions": [{"type": "Succeeded", "status": "True"}],
    }

    ended = person.types(*words)

    assert ended.code == 0, ended.said


@pytest.mark.parametrize("to", [(), ("--to", "2")])
def test_what_is_being_brought_by_half_a_promotion_stands_in_the_way_of_a_rollback(
    person: typed.Person, odd: dict[str, Any], to: tuple[str, ...]
) -> None:
    odd["Model"]["status"] |= {"stages": [STANDS]}

    ended = person.types("rollback", "fraud", "production", "--reason", "x", *to)

    assert ended.code == 3
    assert "asks is bringing ?" in ended.said


@pytest.mark.parametrize(
    "value", [{"a": EVIL, "b": [float("nan"), float("-inf"), 1.5]}, {"\ud800": "\ud83d\ude00 日本 \U000e0001"}, [], None, "x\u2028y"]
)
def test_json_is_valid_whatever_is_in_it_and_says_the_same(value: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = output.document(value, output.Form.JSON)

    assert all(sign == "\n" or sign.isprintable() for sign in text)
    assert json.loads(text, parse_constant=refuse) == json.loads(json.dumps(value).replace("NaN", '"nan"').replace("-Infinity", '"-inf"'))


@pytest.mark.parametrize(
    "words",
    [
        ("list", "../secrets"),
        ("list", "fraud,spec.version=1"),
        ("show", ""),
        ("show", ".."),
        ("show", "fraud", "1/../../x"),
        ("show", "fraud\udcff"),
        ("status", "a b"),
        ("approve", "x/status"),
        ("promote", "fraud", "1", "../x"),
        ("gc", "../x", "--bucket", "s3://own/"),
        ("list", "-n", "../kube-system"),
        ("list", "-n", ""),
        ("history", "../../x", "--bucket", "s3://own/"),
        ("explain", "x/y", "-n", "risk", "--bucket", "s3://own/"),
        ("dossier", "x\x1b[2J", "1", "--bucket", "s3://own/"),
        ("diff", "../x", "1", "2", "--bucket", "s3://own/"),
        ("list", "-o", "xml"),
        ("list", "--where", "metrics.auc>"),
        ("history", "fraud", "--since", "\x1b[31m"),
        ("history", "fraud", "--since", "0001-01-01"),
        ("explain", "fraud", "--stage", "production", "--at", "0001-01-01T00:00:00+14:00"),
        ("push", "/no", "--model", "f", "--version", "1", "--timeout", "-1"),
        ("frobnicate",),
        ("status",),
    ],
    ids=lambda words: ascii(" ".join(words)),
)
def test_what_is_no_name_is_refused_before_anything_is_asked(person: typed.Person, words: tuple[str, ...]) -> None:
    ended = person.types(*words)

    assert (ended.code, ended.out) == (2, "")
    assert ended.said
    assert all(sign == "\n" or sign.isprintable() for sign in ended.said)


CONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "it", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "me", "user": {"token": "t"}}],
    "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
    "current-context": "it",
}


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (None, (), "there is no kubeconfig"),
        ("", (), "is no kubeconfig"),
        ("a: [", (), "is no kubeconfig: while parsing a flow node"),
        ("- x", (), "is no kubeconfig"),
        ("text", (), "is no kubeconfig"),
        ("contexts: 7", (), "is no kubeconfig"),
        (yaml.safe_dump({**CONFIG, "current-context": "gone"}), (), "Expected object with name gone"),
        (yaml.safe_dump(CONFIG), ("--context", "other"), "Expected object with name other"),
        (yaml.safe_dump(CONFIG), (), "the API server http://127.0.0.1:1 does not answer"),
        (yaml.safe_dump({key: value for key, value in CONFIG.items() if key != "current-context"}), (), "Expected key current-context"),
        (
            yaml.safe_dump({key: value for key, value in CONFIG.items() if key != "current-context"}),
            ("--context", "it"),
            "the API server http://127.0.0.1:1 does not answer",
        ),
    ],
)
def test_a_kubeconfig_that_leads_nowhere_is_told(
    person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, text: str | None, words: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "config"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(file))

    ended = person.types("list", *words)

    assert (ended.code, ended.out) == (1, "")
    assert said in ended.said


def process(*words: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """`modelyard` as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES), **more.pop("env", {})}
    return subprocess.run([sys.executable, "-m", "modelyard", *words], check=False, env=environment, timeout=60, **more)


def test_who_has_seen_enough_ends_it_quietly(tmp_path: pathlib.Path) -> None:
    folder = typed.folder(tmp_path / "many", {f"{number:0200}": b"x" for number in range(1000)})
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = process("verify", str(folder), "-o", "sums", stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")


def test_what_is_said_to_nobody_ends_nothing(tmp_path: pathlib.Path) -> None:
    folder = typed.folder(tmp_path / "one", {"a": b"x"})
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = process("verify", str(folder), stderr=writer, stdout=subprocess.PIPE)
    finally:
        os.close(writer)

    assert (done.returncode, done.stdout[:7]) == (0, b"sha256:")


@pytest.mark.parametrize("form", ["json", "yaml", "sums", "table"])
def test_an_output_that_knows_few_letters_gets_them_all(tmp_path: pathlib.Path, form: str) -> None:
    folder = typed.folder(tmp_path / "日本", {"é": b"x"})

    done = process("verify", str(folder), "-o", form, env={"PYTHONIOENCODING": "ascii"}, capture_output=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    if form == "json":
        assert json.loads(done.stdout)["files"][0]["path"] == "é"


def test_a_closed_output_is_no_trouble(tmp_path: pathlib.Path) -> None:
    folder = typed.folder(tmp_path / "one", {"a": b"x"})

    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -m modelyard verify "$1" >&-', sys.executable, str(folder)],
        check=False, env={**os.environ, "PYTHONPATH": str(PACKAGES)}, stderr=subprocess.PIPE, timeout=60,
    )  # fmt: skip

    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


class Terminal:
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], *, expected: bool) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert output.coloured(Terminal()) is expected  # type: ignore[arg-type]  # all that is asked of a stream here
    assert not output.coloured(open(os.devnull, encoding="utf-8"))  # noqa: SIM115, PTH123

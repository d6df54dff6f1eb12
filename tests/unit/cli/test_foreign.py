"""Files, ledgers and objects that others made: whatever is in them is named or left out, nobody waits for it, and nothing ends in a traceback."""

from __future__ import annotations

import json
import os
import pathlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes import apiserver, chronicle, watched_api
from tests.unit.cli import typed

VERSION = "1.5.0-rc.1"
VERBS = [
    ("history", "credit"),
    ("explain", "credit", "--version", VERSION),
    ("dossier", "credit", VERSION, "-o", "json"),
    ("ledger", "verify"),
]
RECORD = "ledger/main/risk/credit/0000000013.json"


@pytest.fixture
def exported(tmp_path: pathlib.Path) -> pathlib.Path:
    """An exported ledger with the samples' model."""
    return chronicle.export(tmp_path / "exported", *chronicle.credit())


def _socket(path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = pathlib.Path.cwd()
        os.chdir(path.parent)  # the address of a socket has few letters
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def _large(path: pathlib.Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


THINGS: dict[str, Callable[[pathlib.Path], object]] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a device without end": lambda path: path.symlink_to("/dev/zero"),
    "a terabyte": _large,
    "a link in a circle": lambda path: path.symlink_to(path.name),
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "no UTF-8": lambda path: path.write_bytes(b'{"\xff\xfe": 1}'),
    "nested": lambda path: path.write_text(watched_api.nested(100_000)),
    "nested a little": lambda path: path.write_text(watched_api.nested(300)),
    "a number": lambda path: path.write_text("5"),
    "nothing": lambda path: path.write_text(""),
}
UNREADABLE = {"a pipe", "a socket", "a device without end", "a terabyte", "a link in a circle"}


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
@pytest.mark.parametrize("thing", THINGS)
def test_a_record_that_is_something_else_is_named(person: typed.Person, exported: pathlib.Path, thing: str, words: tuple[str, ...]) -> None:
    record = exported / RECORD
    record.unlink()
    THINGS[thing](record)

    ended = person.types(*words, "--from", exported)

    if thing in UNREADABLE:
        assert (ended.code, ended.out) == (2, "")
        assert f"{record}: cannot be read: " in ended.said
    else:
        assert ended.code in ({3} if words[0] == "ledger" else {0, 3}), ended.said
        assert "13" in ended.out + ended.said


@pytest.mark.parametrize("thing", ["a pipe", "a terabyte", "a folder", "no UTF-8", "nested", "a number"])
@pytest.mark.parametrize("words", [*VERBS[1:], ("diff", "credit", "1.4.0", VERSION)], ids=lambda words: words[0])
def test_a_blob_that_is_something_else_ends_nothing_or_is_named(
    person: typed.Person, exported: pathlib.Path, thing: str, words: tuple[str, ...]
) -> None:
    for blob in (exported / "blobs/sha256").iterdir():
        blob.unlink()
        THINGS[thing](blob)

    ended = person.types(*words, "--from", exported)

    assert ended.code in {0, 2, 3}
    assert ended.code != 2 or "cannot be read: " in ended.said


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("name", ["anchors.json", "public.pem"])
def test_what_is_beside_a_ledger_is_named(person: typed.Person, exported: pathlib.Path, thing: str, name: str) -> None:
    (exported / name).unlink(missing_ok=True)
    THINGS[thing](exported / name)

    ended = person.types("ledger", "verify", "--from", exported)

    assert ended.code in {0, 2, 3}
    assert name in ended.said or thing in {"a folder", "a link to nothing"} or name == "public.pem"


@pytest.mark.parametrize("thing", ["a pipe", "a socket", "a terabyte", "a link in a circle", "a folder", "no UTF-8", "nested", "a number"])
@pytest.mark.parametrize("words", [("dossier", "verify"), ("push", "MADE", "--card"), ("ledger", "verify", "--public-key")], ids=" ".join)
def test_a_file_that_was_named_and_is_something_else_is_named(
    person: typed.Person, tmp_path: pathlib.Path, exported: pathlib.Path, thing: str, words: tuple[str, ...]
) -> None:
    file = tmp_path / "file.json"
    THINGS[thing](file)
    made = typed.folder(tmp_path / "made", {"a": b"x"})
    more = ["--from", str(exported)] if words[0] == "ledger" else []
    more += ["--model", "fraud", "--version", "1", "--format", "other"] if words[0] == "push" else []

    ended = person.types(*(str(made) if word == "MADE" else word for word in words), file, *more)

    assert ended.code in {2, 4}
    assert str(file) in ended.said


def test_a_folder_with_many_folders_in_one_another_is_read(person: typed.Person, tmp_path: pathlib.Path) -> None:
    here, levels = pathlib.Path.cwd(), 1200
    (tmp_path / "deep").mkdir()
    try:
        os.chdir(tmp_path / "deep")
        for _ in range(levels):
            pathlib.Path("a").mkdir()
            os.chdir("a")
        pathlib.Path("x").write_bytes(b"x")

        assert person.types("verify", tmp_path / "deep").code == 0
    finally:
        pathlib.Path("x").unlink()
        for _ in range(levels):  # what removes temporary folders gives up at a thousand
            os.chdir("..")
            pathlib.Path("a").rmdir()
        os.chdir(here)


ODD: list[Any] = [5, "text", [5, None, "x"], {"a": {"b": [5]}}, True, json.loads(watched_api.nested(80))]


def _spoilt(value: Any, odd: Any, depth: int) -> Any:
    """A spec in which everything so deep is something else."""
    if depth == 0:
        return odd
    if isinstance(value, dict):
        return {name: _spoilt(part, odd, depth - 1) for name, part in value.items()}
    return [_spoilt(part, odd, depth - 1) for part in value] if isinstance(value, list) else odd


class Spoiling(chronicle.Story):
    """A story whose snapshots are of another shape, though its records are as they should be."""

    def __init__(self, odd: Any, depth: int) -> None:
        super().__init__()
        self._odd, self._depth = odd, depth

    def keep(self, value: object) -> str:
        """What is kept is spoilt."""
        return super().keep(_spoilt(value, self._odd, self._depth))


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:12])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_snapshot_of_another_shape_is_told_as_far_as_it_goes(person: typed.Person, tmp_path: pathlib.Path, odd: Any, depth: int) -> None:
    story, operators = Spoiling(odd, depth), chronicle.Operators()
    operators.begin(None)
    story.model(chronicle.sample("model-full"))
    spec = chronicle.sample("modelversion-full")
    version = spec["version"]
    story.register(spec)
    story.verify(version)
    story.later(minutes=5)
    folder = chronicle.export(tmp_path / "exported", story, operators)

    for words in (
        ("explain", "credit", "--version", version),
        ("explain", "credit", "--version", version, "-o", "yaml"),
        ("dossier", "credit", version, "-o", "json"),
        ("dossier", "credit", version, "--to", str(tmp_path / "dossier")),
        ("diff", "credit", version, version),
        ("history", "credit"),
    ):
        ended = person.types(*words, "--from", folder)
        assert ended.code in {0, 2, 3, 4}, (words, ended.said)


@pytest.fixture
def deep(person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A registry with a Model whose template is nested ten thousand deep."""
    del person  # it names another kubeconfig: after it
    objects = apiserver.registry(apiserver.model(stages=[{"name": "production"}]), apiserver.version("1"))
    path = f"{apiserver.HERE}/models/fraud"
    serving = f'"serving": {{"port": 8080, "template": {watched_api.nested(10_000)}}}'
    text = json.dumps(objects[path]).replace('{"name": "production"', f'{{"name": "production", {serving}')

    def fault(handler: apiserver.Handler, asked: str, _body: Any) -> bool:
        answers = {f"GET {path}": text, f"GET {apiserver.HERE}/models": f'{{"items": [{text}]}}'}
        if asked in answers:
            handler.say(200, answers[asked].encode())
        return asked in answers

    with apiserver.run(tmp_path, objects, fault=fault) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield


@pytest.mark.usefixtures("deep")
@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("show", "fraud"),
        ("show", "fraud", "1"),
        ("show", "fraud", "-o", "yaml"),
        ("status", "fraud"),
        ("status", "fraud", "-o", "json"),
    ],
    ids=" ".join,
)
def test_an_object_that_is_nested_too_deep_is_named_and_all_else_is_shown(person: typed.Person, words: tuple[str, ...]) -> None:
    ended = person.types(*words)

    assert ended.code == 0
    assert "fraud" in ended.out
    if words[0] == "show" and len(words) == 2:
        assert "the Model fraud is not shown whole: spec.stages.0.serving.template.a.a.a (nested more than 100 levels deep)" in ended.said

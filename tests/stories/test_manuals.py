"""What the manuals show is what happens: their manifests are applied, their commands are run, and their output is compared.

In a document that plays (it has a comment `<!-- play: {"VERB": WHAT} -->`, a step of a story), `kubectl apply -f FILE` applies the manifests that stand
above it and were not applied yet; `kubectl get` and `kubectl describe` print what there is then. Pipes are run by a shell. A block that no test runs is
marked as `console excerpt`. `pytest tests/stories --update` writes the output anew.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from modelyard.api.openapi import crd
from tests.stories import kubectl, test_stories

ROOT: Final = pathlib.Path(__file__).resolve().parents[2]
PLAYED: Final = ("README.md", "crds/model.md", "crds/modelversion.md", "crds/promotion.md")
_PART: Final = re.compile(r"<!-- play: (?P<step>.*?) -->\n|^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```\n", re.DOTALL | re.MULTILINE)


class Player(test_stories.Teller):
    """A story of which a document shows the objects, with the Events of each."""

    def __init__(self) -> None:
        super().__init__(restart=False)
        self.posted = list[tuple[str, str, kubectl.Event]]()
        self.manifests = list[dict[str, Any]]()
        """Of the document, and not applied yet."""
        self.world.objects["Secret", "risk", "models-s3"] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "models-s3", "namespace": "risk", "resourceVersion": "1"},
            "data": {"AWS_ACCESS_KEY_ID": "bW9kZWxz", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0"},
        }

    def post(self, event: Any) -> None:
        kind = "Warning" if event.warning else "Normal"
        self.posted.append((event.kind, event.name, (self.world.now, kind, event.fact.reason, event.fact.message)))
        super().post(event)

    async def run(self, command: str) -> str:
        """What a command prints."""
        typed, _, pipe = command.partition(" | ")
        printed = "".join([part async for part in self._kubectl(shlex.split(typed, comments=True))])
        return piped(printed, pipe) if pipe else printed

    async def _kubectl(self, words: list[str]) -> Any:
        program, verb, *rest = words
        assert program == "kubectl", f"no test can run {words}: mark the block as `console excerpt`"
        names = [word for word in rest if not word.startswith("-") and word != "risk"]
        if verb == "apply":
            for obj in self.manifests:
                there = obj["kind"], "risk", obj["metadata"]["name"]
                done = "configured" if there in self.world.objects else "created"
                await self.tell([{"apply": obj}])
                yield f"{obj['kind'].lower()}.modelyard.dev/{obj['metadata']['name']} {done}\n"
            self.manifests.clear()
        elif verb == "get":
            kinds = [kubectl.find(word) for word in names[0].split(",")]
            tables = (kubectl.get(kind, self._of(kind, *names[1:]), self.world.now, prefixed=len(kinds) > 1) for kind in kinds)
            yield "\n".join(tables)
        else:
            assert verb == "describe", words
            [obj] = self._of(kubectl.find(names[0]), names[1])
            yield kubectl.describe(obj, self._events_of(obj["kind"], names[1]), self.world.now)

    def _of(self, kind: crd.Kind, *names: str) -> list[dict[str, Any]]:
        objects = sorted(self.world.objects.items())
        return [obj for (called, _, name), obj in objects if called == kind.name and (not names or name in names)]

    def _events_of(self, kind: str, name: str) -> list[kubectl.Event]:
        return [event for about, called, event in self.posted if (about, called) == (kind, name)]


async def played(text: str) -> str:
    """The document, with what its commands print now."""
    player, parts, end = Player(), list[str](), 0
    for part in _PART.finditer(text):
        parts.append(text[end : part.start()])
        end = part.end()
        if part["step"]:
            await player.tell([json.loads(part["step"])])
            parts.append(part[0])
        elif part["info"] == "console":
            outputs = [f"$ {command}\n{await player.run(command)}" for command in commands(part["body"])]
            parts.append(f"```console\n{''.join(outputs)}```\n")
        else:
            if part["info"] == "yaml":
                player.manifests += manifests(part["body"])
            parts.append(part[0])
    return "".join([*parts, text[end:]])


def piped(text: str, shell: str) -> str:
    """What a shell makes of a command's output."""
    return subprocess.run(["bash", "-c", shell], input=text, capture_output=True, text=True, check=True).stdout


def commands(block: str) -> Iterator[str]:
    for line in block.splitlines():
        if line.startswith("$ "):
            yield line[2:]


def manifests(block: str) -> list[dict[str, Any]]:
    """The objects of a block of YAML; a part of a spec is none."""
    return [obj for obj in yaml.safe_load_all(block) if isinstance(obj, dict) and "kind" in obj]


@pytest.mark.parametrize("name", PLAYED)
async def test_what_a_manual_shows_is_what_happens(name: str, request: pytest.FixtureRequest) -> None:
    path = ROOT / name
    text = path.read_text(encoding="utf-8")
    now = await played(text)

    if request.config.getoption("--update"):
        path.write_text(now, encoding="utf-8")
    assert now == path.read_text(encoding="utf-8")


def test_an_age_is_written_as_kubectl_does() -> None:
    spans = {0: "0s", 119: "119s", 120: "2m", 185: "3m5s", 660: "11m", 10800: "3h", 12000: "3h20m"}

    assert {seconds: kubectl.age(datetime.timedelta(seconds=seconds)) for seconds in spans} == spans

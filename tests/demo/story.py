"""What happens in the cluster, told as it happens; and what somebody would look at when it does not."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tests.cluster.node import access
from tests.demo import voice

Json = dict[str, Any]
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Trouble(Exception):
    """The demo cannot go on; the message says what was expected and what is instead."""


def look(cluster: access.Cluster, *arguments: str) -> Json:
    """`kubectl get … -o json`."""
    found: Json = json.loads(cluster.kubectl("get", *arguments, "--output", "json"))
    return found


@contextlib.contextmanager
def reach(cluster: access.Cluster, namespace: str, target: str, port: int) -> Iterator[str]:
    """The URL at which a pod or Service answers on this machine, while it lasts."""
    with cluster.port_forward(target, port, namespace) as local:
        yield f"http://127.0.0.1:{local}"


def fetch(url: str, body: object = None) -> Json:
    """GET, or POST of JSON, past any proxy; the JSON that comes back.

    Raises:
        Trouble: no answer, or none of JSON.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with _DIRECT.open(request, timeout=30) as response:
            answer: Json = json.load(response)
    except (OSError, ValueError) as error:
        said = error.read().decode(errors="replace")[:300] if isinstance(error, urllib.error.HTTPError) else ""
        raise Trouble(f"{url}: {error} {said}".strip()) from error
    return answer


class Story:
    """What happens to the objects of one namespace, each change told once."""

    def __init__(self, cluster: access.Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._told: dict[str, str] = {}

    def until(self, name: str, wanted: str, seconds: float, never: Sequence[str] = ()) -> Json:
        """Tell every change until the object `name` (`Kind/name`) is in the phase `wanted`; gives that object.

        Args:
            name: the object, as `Promotion/fraud-1.4.0-production`.
            wanted: the phase.
            seconds: how long to wait at most.
            never: phases of any object from which this cannot come about any more.

        Raises:
            Trouble: it took too long, or something is in one of `never`.
        """
        deadline = time.monotonic() + seconds
        while True:
            objects = {f"{one['kind']}/{one['metadata']['name']}": one for one in self._objects()}
            for each, one in objects.items():
                self._tell(each, one)
            found = objects.get(name)
            if found and phase(found) == wanted:
                return found
            for each, one in objects.items():
                if phase(one) in never:
                    raise Trouble(f"{name} should become {wanted}, but {each} is {phase(one)}: {message(one)}")
            if time.monotonic() > deadline:
                instead = f"{phase(found) or 'without a phase'}: {message(found)}" if found else "not there"
                raise Trouble(f"{name} should be {wanted} within {seconds:.0f} s; it is {instead}")
            time.sleep(0.5)

    def _objects(self) -> list[Json]:
        kinds = "modelversions.modelyard.dev,promotions.modelyard.dev"
        found: list[Json] = look(self._cluster, kinds, "--namespace", self._namespace)["items"]
        return sorted(found, key=_order)

    def _tell(self, name: str, one: Json) -> None:
        now = phase(one)
        # Counting pods is no news; a phase is, and so is another reason for it.
        if now and self._told.get(name) != (key := f"{now} {_ready(one).get('reason')}"):
            self._told[name] = key
            voice.seen(f"{name:<34} {now}: {message(one)}".rstrip(": "))


def phase(one: Mapping[str, Any]) -> str:
    """`status.phase`, or nothing yet."""
    return str((one.get("status") or {}).get("phase") or "")


def message(one: Mapping[str, Any]) -> str:
    """The message of the condition Ready."""
    return str(_ready(one).get("message") or "")


def _order(one: Mapping[str, Any]) -> tuple[bool, str, str]:
    """Of what is seen at one moment, what ended comes before what began by that; a version before its promotions."""
    return phase(one) not in {"Ready", "Succeeded", "Superseded"}, one["kind"], one["metadata"]["name"]


def _ready(one: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions: list[Json] = (one.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == "Ready"), {})


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod gets traffic."""
    return _ready(pod).get("status") == "True" and not pod["metadata"].get("deletionTimestamp")


def diagnose(cluster: access.Cluster, namespace: str, where: str, deployment: str) -> None:
    """Print what somebody would look at first, so that a failed demo explains itself; the operator is a Deployment in `where`."""
    commands: list[tuple[str, ...]] = [
        ("get", "models,modelversions,promotions,deployments,pods", "--namespace", namespace, "--output", "wide"),
        ("get", "events", "--namespace", namespace, "--sort-by", ".lastTimestamp"),
        ("get", "pods", "--namespace", where, "--output", "wide"),
        ("logs", f"deployment/{deployment}", "--namespace", where, "--tail", "40"),
    ]
    with contextlib.suppress(access.KubectlError):
        pods = [pod["metadata"]["name"] for pod in look(cluster, "pods", "--namespace", namespace)["items"] if not is_ready(pod)]
        commands += [("logs", pod, "--namespace", namespace, "--all-containers", "--tail", "20") for pod in pods]
    for command in commands:
        voice.typed("kubectl", *command)
        try:
            voice.seen("\n".join(cluster.kubectl(*command).splitlines()[-60:]))
        except access.KubectlError as error:
            voice.bad(str(error))

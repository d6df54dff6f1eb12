"""Requests of the verbs to the API server; each request logs in once, as `kubectl` does."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, NoReturn, TypeVar

import pydantic

from modelyard.api import access, meta
from modelyard.api.access import changes
from modelyard.cli.reach import alias, authorship
from modelyard.cli.terminal import exits, output, validation
from modelyard.content import jsontext
from modelyard.edge import Unavailable
from modelyard.edge.cluster import client

Json = dict[str, Any]
T = TypeVar("T")
M = TypeVar("M", bound=pydantic.BaseModel)

MANAGER: Final = "modelyard-cli"
_EVERY: Final = 1.0
"""Seconds between two reads of an object that a verb waits for."""


def tidy(obj: Json) -> Json:
    """Return an object without `managedFields`."""
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


def print_object(kind: client.Kind, obj: Json, form: output.Form) -> bool:
    """Print an object as its name, JSON or YAML; for a table print nothing and return False, as the verb prints the table."""
    if form is output.Form.NAME:
        output.write(f"{kind.name.lower()}.{kind.group}/{obj['metadata']['name']}\n")
    elif form is not output.Form.TABLE:
        output.write(output.document(tidy({"apiVersion": kind.api_version, "kind": kind.name, **obj}), form))
    return form is not output.Form.TABLE


class Registry:
    """The API server, in one context and one namespace.

    Every method may raise exits.Stop: the API server does not answer, or says no.
    """

    def __init__(self, context: str | None = None, namespace: str | None = None) -> None:
        self.context = context
        self._namespace = namespace
        self._named: set[str] = set()
        """Objects that a warning has called too deep or too large."""

    @property
    def namespace(self) -> str:
        """The namespace that was typed, or that of the kubeconfig's context."""
        if self._namespace is None:

            async def ask(server: client.Cluster) -> str:
                return server.namespace

            self._namespace = self._ask(ask)
        return self._namespace

    def find(self, kind: client.Kind, name: str) -> Json | None:
        """Return an object, or None."""
        namespace = self.namespace
        obj = self._ask(lambda server: server.get(kind, namespace, name))
        if obj:
            self._tell_excess(kind, obj)
        return obj

    def get(self, kind: client.Kind, name: str, hint: str = "") -> Json:
        """Return an object; stop with NOT_FOUND and the hint if it does not exist."""
        obj = self.find(kind, name)
        if obj is None:
            message = f"there is no {kind.name} {name} in namespace {self.namespace}"
            raise exits.Stop(exits.Code.NOT_FOUND, f"{message}\n{hint}" if hint else message)
        return {"apiVersion": kind.api_version, "kind": kind.name, **obj}

    def all(self, kind: client.Kind, *, everywhere: bool = False, **query: str) -> list[Json]:
        """List the objects of a kind in the namespace or in all; `labelSelector`, and `fieldSelector` on fields of spec, as in the API."""
        namespace = None if everywhere else self.namespace

        async def ask(server: client.Cluster) -> list[Json]:
            try:
                return [obj async for obj in server.list(kind, namespace, **query)]
            except client.Refused as refused:
                selector = query.pop("fieldSelector", None)
                if refused.status != 400 or selector is None:
                    raise
            # Kubernetes 1.30 selects by no field of a custom resource.
            wanted = {field: value for field, _, value in (term.removeprefix("spec.").partition("=") for term in selector.split(","))}
            return [obj async for obj in server.list(kind, namespace, **query) if wanted.items() <= obj["spec"].items()]

        objects = self._ask(ask)
        for obj in objects:
            self._tell_excess(kind, obj)
        return objects

    def version(self, model: str, version: str) -> str:
        """Return the typed version of a model, or the version of its alias; read the Model only for an alias."""
        validation.check(meta.ModelName, model, "the model")
        if not version.startswith(alias.SIGN):
            return alias.resolved({}, version, "")
        return alias.resolve(self.get(client.MODEL, model, "check its name and --namespace"), version)

    def apply(self, obj: Json, *, dry_run: bool = False) -> Json:
        """Apply an object as the user, without force: fields of other managers stay. Sign the change."""

        async def ask(server: client.Cluster) -> Json:
            about, me = obj["metadata"], await server.whoami()
            current = await server.get(client.KINDS[obj["kind"]], about["namespace"], about["name"])
            for wanted in _signed(obj, current, me):
                try:
                    return await server.apply(wanted, manager=MANAGER, force=False, dry_run=dry_run)
                except client.Refused as no:
                    refused = no
                    if access.CHANGES not in no.message:
                        break
            raise refused

        return self._ask(ask)

    def create(self, obj: Json) -> Json:
        """Create and sign an object of ours; before Kubernetes 1.36 the API server does not sign by itself."""

        async def ask(server: client.Cluster) -> Json:
            return await server.create(changes.signed(obj, await server.whoami()), manager=MANAGER)

        return self._ask(ask)

    def patch(
        self, kind: client.Kind, name: str, steps: Callable[[Json, str], list[Json]], *, takes: str = "", dry_run: bool = False
    ) -> Json:
        """Change an object by the JSON patch that `steps` makes of the current object and the user's name; the steps test what they assume.

        `takes` names the right that the change needs, for users who lack it; with `dry_run` the API server changes nothing.

        Raises:
            exits.Stop: also what `steps` raises.
        """
        namespace = self.namespace

        async def ask(server: client.Cluster) -> Json:
            me, refused_version = await server.whoami(), ""
            while True:
                obj = await server.get(kind, namespace, name)
                if obj is None:
                    raise exits.Stop(exits.Code.NOT_FOUND, f"there is no {kind.name} {name} in namespace {namespace}")
                try:
                    return await server.patch(kind, namespace, name, steps(obj, me), manager=MANAGER, dry_run=dry_run)
                except (client.Refused, client.Conflict) as no:
                    if takes and isinstance(no, client.Refused) and no.status == 403:
                        raise exits.Stop(exits.Code.NO, f"the API server refuses: {no}\n{takes}") from None
                    if obj["metadata"]["resourceVersion"] == refused_version:
                        raise  # refused twice on what has not changed since: no race
                    refused_version = obj["metadata"]["resourceVersion"]

        return self._ask(ask)

    def replace(self, obj: Json) -> Json:
        """Replace an object at the resourceVersion that was read; sign as `create` does."""

        async def ask(server: client.Cluster) -> Json:
            return await server.replace(_with(obj, authorship.line(obj, await server.whoami())), manager=MANAGER)

        return self._ask(ask)

    def whoami(self) -> str:
        """Return the user's name as the API server authenticated it."""
        return self._ask(lambda server: server.whoami())

    def secret(self, name: str) -> Mapping[str, str]:
        """Return the decoded data of a Secret."""
        return {key: _decoded(value, name) for key, value in (self.get(client.SECRET, name).get("data") or {}).items()}

    def config(self, name: str, key: str) -> str:
        """Return one key of a ConfigMap."""
        data = self.get(client.CONFIG_MAP, name).get("data") or {}
        if key not in data:
            raise exits.Stop(exits.Code.NOT_FOUND, f"the ConfigMap {name} in namespace {self.namespace} has no key {key}: add it")
        return str(data[key])

    def follow(self, kind: client.Kind, name: str, seconds: float, ended: Callable[[Json], bool]) -> Json:
        """Poll an object until it has ended, print each change, and return the object as it ended.

        Raises:
            exits.Stop: TIMED_OUT when it has not ended after so many seconds, NOT_FOUND when it was deleted meanwhile.
        """
        namespace, until = self.namespace, time.monotonic() + seconds

        async def ask(server: client.Cluster) -> Json:
            last_message = ""
            while True:
                try:
                    obj = await server.get(kind, namespace, name)
                except Unavailable:
                    if time.monotonic() > until:
                        raise
                    obj = {}  # it may be back at the next look
                if obj is None:
                    raise exits.Stop(exits.Code.NOT_FOUND, f"{kind.name} {name} in namespace {namespace} was deleted meanwhile")
                if obj and (message := summary_of(obj)) != last_message:
                    last_message = message
                    output.say(f"{name}: {message}")
                if obj and _observed(obj) and ended(obj):
                    return obj
                if time.monotonic() > until:
                    late = f"{kind.name} {name} has not ended after {seconds:g} s: it is {last_message or 'not known'}"
                    raise exits.Stop(
                        exits.Code.TIMED_OUT, f"{late}\nit goes on by itself; look again with `modelyard show`, or give --timeout"
                    )
                await asyncio.sleep(_EVERY)

        return self._ask(ask)

    def _tell_excess(self, kind: client.Kind, obj: Json) -> None:
        """Warn, once for an object, that it is nested too deep or too large to be shown whole."""
        if kind.group != meta.GROUP:  # only ours have fields without a schema
            return
        name = f"{kind.name} {obj['metadata']['name']}"
        if name not in self._named and (wrong := jsontext.excess(tidy(obj))):
            self._named.add(name)
            output.say(f"the {name} is not shown whole: {wrong}")

    def _ask(self, question: Callable[[client.Cluster], Awaitable[T]]) -> T:
        async def answer() -> T:
            async with client.Cluster.connect(self.context) as server:
                return await question(server)

        try:
            return asyncio.run(answer())
        except (Unavailable, client.Refused, client.Conflict) as error:
            _stop(error)


def _signed(obj: Json, current: Json | None, me: str) -> Iterator[Json]:
    """Yield the objects to try to apply, in order: only the API server knows whether it signs, and whether the spec changes."""
    if current is None:
        yield changes.signed(obj, me)
        return
    yield obj
    yield _with(obj, (current["metadata"].get("annotations") or {}).get(access.CHANGES, ""))
    yield _with(obj, authorship.line(current, me))


def _with(obj: Json, lines: str) -> Json:
    about = obj["metadata"]
    return {**obj, "metadata": {**about, "annotations": {**(about.get("annotations") or {}), access.CHANGES: lines}}}


def strictly(obj: Json, where: str) -> Json:
    """Validate an object of one of our kinds against its CRD."""
    from modelyard.api.openapi import crd  # noqa: PLC0415

    kind = next((kind for kind in crd.KINDS if kind.name == obj.get("kind")), None)
    if kind is None:
        raise exits.usage(f"{where}: kind has to be one of {', '.join(kind.name for kind in crd.KINDS)}, not {obj.get('kind')!r}")
    validation.whole(kind.model, obj, where)
    return obj


def parsed(kind: type[M], obj: Json, what: str, code: exits.Code = exits.Code.NO) -> M:
    """Parse an object, or a part of one, with this release's API types.

    Raises:
        exits.Stop: parsing fails; with this code and the first field that is wrong.
    """
    try:
        return kind.model_validate({field: value for field, value in obj.items() if value is not None})
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        message = f"{what} cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise exits.Stop(code, f"{message}\nif a newer release has written it, upgrade modelyard") from None


def summary_of(obj: Json) -> str:
    """Return an object's phase and the message of its Ready condition, in one line."""
    ready = ready_of(obj)
    phase = phase_of(obj) or "not looked at yet"
    return output.safe(f"{phase}: {ready['message']}" if ready.get("message") else str(phase))


def phase_of(obj: Json) -> str | None:
    """Return an object's phase; None before the operator has set one."""
    phase: str | None = (obj.get("status") or {}).get("phase")
    return phase


def ready_of(obj: Json) -> Json:
    """Return the condition Ready, or an empty mapping."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == "Ready"), {})


def _observed(obj: Json) -> bool:
    return bool((obj.get("status") or {}).get("observedGeneration", -1) >= (obj["metadata"].get("generation") or 0))


def _decoded(value: str, name: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise exits.Stop(exits.Code.NO, f"the Secret {name} holds something that is not text: correct it") from None


def _stop(error: Unavailable | client.Refused | client.Conflict) -> NoReturn:
    match error:
        case client.Refused(status=404):
            hint = "is Modelyard installed in this cluster (kubectl get crd models.modelyard.dev), and is it the right context?"
            raise exits.Stop(exits.Code.NOT_FOUND, f"the API server knows no such thing: {error}\n{hint}") from None
        case client.Refused():
            raise exits.Stop(exits.Code.NO, f"the API server refuses: {error}") from None
        case client.Conflict():
            raise exits.Stop(exits.Code.NO, f"the API server refuses, as it collides with what is there: {error}") from None
        case _:
            raise exits.Stop(exits.Code.UNAVAILABLE, error.message) from None

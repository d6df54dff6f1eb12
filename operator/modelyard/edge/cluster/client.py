"""The API server: the only module that knows the Kubernetes client. Objects go in and come out as plain dictionaries."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Self
from urllib import parse

import aiohttp
import yaml
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import api_client, configuration

from modelyard import api, edge
from modelyard.api.reason import Reason
from modelyard.content import jsontext
from modelyard.edge import metrics

Json = dict[str, Any]

CONNECTIONS: Final = 20
METADATA: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
"""The Accept header for objects, or with `List` lists, with their metadata only."""
_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, sock_connect=3)
_PAGE: Final = 500
_ABOUT_THE_OBJECT: Final = re.compile(r"\([^\s()]*/[^\s()]+; [^\s()]*, Kind=\w+\)")
"""How the API server names the object whose fields a server-side apply cannot take, as in `failed to create typed patch object
(risk/fraud-production; apps/v1, Kind=Deployment): .spec.tmplate: field not declared in schema`. It answers 500 to that, as it does when
something of its own is broken."""
_MOST: Final = 8 << 20
"""The most bytes of one answer: more than etcd takes for one object, and more than an honest page has."""
_IN_CLUSTER: Final = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind, and where its objects are in the API."""

    name: str
    plural: str
    group: str = ""
    version: str = "v1"

    @property
    def api_version(self) -> str:
        """Return the `apiVersion` of objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> str:
        """Return the URL path of one object, or of all objects of a namespace or of the cluster."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        parts += ["namespaces", namespace] if namespace else []
        parts += [self.plural, *((name,) if name else ()), *((sub,) if sub else ())]
        return "/" + "/".join(parse.quote(part, safe="") for part in parts)


MODEL: Final = Kind("Model", "models", api.GROUP, api.VERSION)
MODEL_VERSION: Final = Kind("ModelVersion", "modelversions", api.GROUP, api.VERSION)
PROMOTION: Final = Kind("Promotion", "promotions", api.GROUP, api.VERSION)
DEPLOYMENT: Final = Kind("Deployment", "deployments", "apps")
SERVICE: Final = Kind("Service", "services")
CONFIG_MAP: Final = Kind("ConfigMap", "configmaps")
SECRET: Final = Kind("Secret", "secrets")
POD: Final = Kind("Pod", "pods")
NAMESPACE: Final = Kind("Namespace", "namespaces")
EVENT: Final = Kind("Event", "events")
CRD: Final = Kind("CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io")
LEASE: Final = Kind("Lease", "leases", "coordination.k8s.io")
KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind for kind in (MODEL, MODEL_VERSION, PROMOTION, DEPLOYMENT, SERVICE, CONFIG_MAP, SECRET, POD, EVENT, NAMESPACE, LEASE)
}


class Conflict(Exception):
    """The object has changed since the decision: decide again."""


class _TooMuch(edge.Unavailable):
    """An answer exceeds the limit of its length."""

    def __init__(self) -> None:
        super().__init__(Reason.CLUSTER_UNAVAILABLE, f"the API server answers with more than {_MOST >> 20} MiB; is it an API server?")


class Refused(Exception):
    """The API server refused, and will refuse again until something is changed.

    Args:
        status: the HTTP status, such as 403 or 422.
        message: the API server's words.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """The address and login of the API server, for the only other client: the informer's."""

    server: str
    tls: ssl.SSLContext | None
    headers: Mapping[str, str]


class Cluster:
    """One API server, as one user."""

    def __init__(self, client: api_client.ApiClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace
        """Return the namespace of the kubeconfig's context, or the pod's own."""

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, context: str | None = None) -> AsyncIterator[Self]:
        """Log in as `kubectl` would: KUBECONFIG or ~/.kube/config; inside a pod as its service account.

        Raises:
            edge.Unavailable: there is no usable configuration, or its certificates are none; the message says what was looked for.
        """
        settings = configuration.Configuration()
        try:
            namespace = await _load(settings, context)
            settings.connection_pool_maxsize = CONNECTIONS
            settings.client_session_kwargs = {"trust_env": False}  # a proxy for the internet does not lead to the cluster
            client = api_client.ApiClient(settings)
        except (kubernetes_config.ConfigException, OSError, ValueError) as error:
            message = f"no way to a cluster: {error}; set KUBECONFIG, or run inside a pod with a service account"
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, message) from error
        async with client:
            client.user_agent = "modelyard"
            yield cls(client, namespace)

    async def access(self) -> Access:
        """Return this client's login, with a fresh token."""
        headers: dict[str, str] = {"User-Agent": "modelyard"}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
        settings = self._client.configuration
        return Access(settings.host, self._client.rest_client.ssl_context if settings.host.startswith("https") else None, headers)

    async def get(self, kind: Kind, namespace: str, name: str) -> Json | None:
        """Return one object, or None."""
        try:
            return await self._call("GET", kind.path(namespace, name))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    async def list(self, kind: Kind, namespace: str | None = None, **query: str) -> AsyncIterator[Json]:
        """Yield all objects of a kind, a page at a time; `labelSelector` and `fieldSelector` as in the API."""
        async for item in self._list(kind, namespace, query, "application/json"):
            yield item

    async def list_metadata(self, kind: Kind, namespace: str | None = None, **query: str) -> AsyncIterator[Json]:
        """Yield all objects of a kind as `list` does, but only with their metadata."""
        async for item in self._list(kind, namespace, query, METADATA.format("List")):
            yield {**item, "apiVersion": kind.api_version, "kind": kind.name}

    async def _list(self, kind: Kind, namespace: str | None, query: Mapping[str, str], accept: str) -> AsyncIterator[Json]:
        limit = _PAGE
        while True:
            try:
                page = await self._call("GET", kind.path(namespace), query={"limit": str(limit), **query}, accept=accept)
            except _TooMuch:
                if limit == 1:
                    raise
                limit = max(1, limit // 4)
                continue
            for item in page.get("items") or []:
                yield {"apiVersion": kind.api_version, "kind": kind.name, **item}
            if not (more := (page.get("metadata") or {}).get("continue")):
                return
            query = {**query, "continue": more}

    async def create(self, obj: Json, *, manager: str = "modelyard", dry_run: bool = False) -> Json:
        """Create an object.

        Raises:
            Conflict: one of that name exists.
        """
        kind, metadata = KINDS[obj["kind"]], obj["metadata"]
        query = {"fieldManager": manager} | ({"dryRun": "All"} if dry_run else {})
        return await self._call("POST", kind.path(metadata["namespace"]), obj, query=query)

    async def patch(
        self, kind: Kind, namespace: str, name: str, steps: Sequence[Json], *, manager: str = "modelyard", dry_run: bool = False
    ) -> Json:
        """Change an object by a JSON patch: either all of its steps, or none."""
        query = {"fieldManager": manager} | ({"dryRun": "All"} if dry_run else {})
        return await self._call("PATCH", kind.path(namespace, name), [*steps], query=query, content="application/json-patch+json")

    async def replace(self, obj: Json, *, manager: str = "modelyard") -> Json:
        """Replace an object, if it still has its `metadata.resourceVersion`.

        Raises:
            Conflict: it is not.
        """
        kind, metadata = KINDS[obj["kind"]], obj["metadata"]
        return await self._call("PUT", kind.path(metadata["namespace"], metadata["name"]), obj, query={"fieldManager": manager})

    async def apply(self, obj: Json, *, manager: str = "modelyard", force: bool = True, dry_run: bool = False) -> Json:
        """Apply an object (server-side apply): set these fields and own them.

        With `metadata.uid` exactly that object, and with a `metadata.resourceVersion` that no object has only a new one.

        Raises:
            Conflict: the object is another one, or there is one.
        """
        kind, metadata = KINDS[obj["kind"]], obj["metadata"]
        query = {"fieldManager": manager, "force": "true" if force else "false"} | ({"dryRun": "All"} if dry_run else {})
        path = kind.path(metadata["namespace"], metadata["name"])
        try:
            return await self._call("PATCH", path, obj, query=query, content="application/apply-patch+yaml")
        except Refused as refused:
            if (
                f'metadata.uid: Invalid value: "{metadata.get("uid")}"' in refused.message
            ):  # the API server's message when another object has the name
                raise Conflict(refused.message) from refused
            raise

    async def write_status(
        self, kind: Kind, namespace: str, name: str, resource_version: str, status: Json, *, dry_run: bool = False
    ) -> Json:
        """Replace the status, if the object has not changed since the decision.

        Raises:
            Conflict: it is not, or it is gone.
        """
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "add", "path": "/status", "value": status},
        ]
        try:
            query = {"dryRun": "All"} if dry_run else {}
            return await self._call(
                "PATCH", kind.path(namespace, name, "status"), patch, query=query, content="application/json-patch+json"
            )
        except Refused as refused:
            if refused.status == 404:
                raise Conflict(refused.message) from refused
            raise

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str | None = None) -> None:
        """Delete an object, exactly that one if its uid is given; a missing object is no error."""
        body = {"preconditions": {"uid": uid}} if uid else {}
        with contextlib.suppress(Conflict):
            try:
                await self._call("DELETE", kind.path(namespace, name), {**body, "propagationPolicy": "Background"})
            except Refused as refused:
                if refused.status != 404:
                    raise

    async def whoami(self) -> str:
        """Return the username that the API server authenticates this client as."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await self._call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
        return str(answer["status"]["userInfo"]["username"])

    async def version(self) -> str:
        """Return the API server's version; this also proves that it answers."""
        return str((await self._call("GET", "/version")).get("gitVersion"))

    async def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        headers = {"Accept": accept, "Content-Type": content, "User-Agent": "modelyard"}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = self._client.configuration.host + path + (f"?{parse.urlencode(query)}" if query else "")
        try:
            response = await self._client.rest_client.request(method, url, headers=headers, body=body, _request_timeout=_TIMEOUT)
            data = await _body(response.response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            message = f"the API server {self._client.configuration.host} does not answer: {error or type(error).__name__}"
            metrics.API_CALLS.labels(method, "none").inc()
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, message) from error
        metrics.API_CALLS.labels(method, str(response.status)).inc()
        return _read(response.status, data)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Read a whole answer.

    Raises:
        _TooMuch: it is more than is held at once.
    """
    async with response:
        data = bytearray()
        async for piece in response.content.iter_any():
            data += piece
            if len(data) > _MOST:
                raise _TooMuch
        return bytes(data)


def _read(status: int, data: bytes) -> Json:
    """Return the answer, or raise what its status means."""
    text = data[:1200].decode(errors="replace")
    try:
        answer = jsontext.load_cut(data)
    except ValueError:
        answer = None
    if status < 300:
        if not isinstance(answer, dict):
            message = f"the API server answered {status}, but no object: {text[:300]!r}; is it an API server?"
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, message)
        return answer
    message = (answer.get("message") if isinstance(answer, dict) else None) or text[:300] or f"HTTP {status}"
    if status == 409:
        raise Conflict(message)
    if status == 500 and _ABOUT_THE_OBJECT.search(message):
        raise Refused(status, message)
    if status in {401, 410, 429} or status >= 500:  # 410: a list took so long that its next page is gone
        raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, f"the API server answered {status}: {message}")
    raise Refused(status, message)


async def _load(settings: configuration.Configuration, context: str | None) -> str:
    if not os.environ.get("KUBECONFIG") and _IN_CLUSTER.exists():
        kubernetes_config.load_incluster_config(settings)
        return _IN_CLUSTER.with_name("namespace").read_text().strip()
    path = os.environ.get("KUBECONFIG") or str(pathlib.Path.home() / ".kube" / "config")
    if not _is_there(path):
        raise kubernetes_config.ConfigException(f"there is no kubeconfig {path}")
    try:
        loaded = await kubernetes_config.load_kube_config(config_file=path, context=context, client_configuration=settings)
        return str(loaded.current_context["context"].get("namespace") or "default")
    except (yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise kubernetes_config.ConfigException(f"{path} is no kubeconfig: {' '.join(str(error).split())}") from error


def _is_there(paths: str) -> bool:
    """Whether any file of KUBECONFIG exists; if none does, the client only logs it, and then fails on missing settings."""
    return any(pathlib.Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path)

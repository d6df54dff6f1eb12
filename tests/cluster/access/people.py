"""The people of the matrix: each with a certificate that the cluster signed, or a service account's token, and a connection of their own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import aiohttp
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.cluster.access.oracle import BY_STAGE, VERBS, Person
from tests.cluster.node import kind, layout, process

Json = dict[str, Any]

OPERATOR: Final = f"system:serviceaccount:{layout.NAMESPACE}:modelyard"
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"

_EVERY: Final = frozenset((verb, "models") for verb in VERBS)


def _only(*rights: str) -> frozenset[tuple[str, str]]:
    return frozenset((verb, resource) for verb, _, resource in (right.partition("@") for right in rights))


PEOPLE: Final[Sequence[Person]] = (
    Person("nobody", edits=False, deploys=False),
    Person("bare"),
    *(Person(f"only-{verb}", _only(f"{verb}@models")) for verb in VERBS),
    *(Person(f"{verb}-production", _only(f"{verb}@models/production")) for verb in sorted(BY_STAGE)),
    *(Person(f"{verb}-staging", _only(f"{verb}@models/staging")) for verb in sorted(BY_STAGE)),
    *(Person(f"all-but-{verb}", _EVERY - {(verb, "models")}) for verb in VERBS),
    Person("approve-risk", _only("approve@models/production/risk")),
    Person("approve-business", _only("approve@models/production/business")),
    Person("undeployed", _EVERY, deploys=False),
    Person("requester", _EVERY),
    Person("everything", _EVERY),
)
ROBOTS: Final[Sequence[Person]] = (
    Person("robot", _EVERY, account=True),
    Person("robot-bare", account=True),
    Person("wild", _EVERY, account=True, wild=True),
)
MASTERS: Final = Person("admin", wild=True)
OPERATORS: Final = Person(
    OPERATOR, _only(*(f"{verb}@models" for verb in ("promote", "register", "govern", "alias"))), operator=True, everywhere=True
)
SORTS: Final = {"nobody", "bare", "everything", "undeployed", "robot", "wild", MASTERS.name, OPERATOR}
"""One of each sort."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the API server said."""

    status: int
    body: Json

    @property
    def passed(self) -> bool:
        return self.status < 300

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


@dataclasses.dataclass(frozen=True)
class Login:
    """One person's connection."""

    person: Person
    session: aiohttp.ClientSession
    server: str
    name: str
    """The username."""

    async def send(self, method: str, path: str, body: object = None, content: str = "application/json", **query: str) -> Answer:
        data = json.dumps(body) if body is not None else None
        async with self.session.request(method, self.server + path, data=data, params=query, headers={"Content-Type": content}) as answer:
            text = await answer.text()
        return Answer(answer.status, json.loads(text) if text.startswith("{") else {"message": text})


@dataclasses.dataclass(frozen=True)
class Door:
    """Where the API server is, and how the admin gets in."""

    address: str
    authority: str
    """PEM."""
    token: str
    """Empty: the admin has a certificate."""
    pair: tuple[bytes, bytes]

    def opened(self, keys: Mapping[str, tuple[bytes, bytes]], tokens: Mapping[str, tuple[str, str]]) -> Any:
        """The people with the admin among them, as `masters`."""
        if self.token:
            return keys, {**tokens, "masters": ("admin", self.token)}
        return {**keys, "masters": self.pair}, tokens


def door(cluster: Any) -> Door:
    """As the admin's kubeconfig says."""
    view = json.loads(cluster.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    about, user = view["clusters"][0]["cluster"], view["users"][0]["user"]
    pair = [base64.b64decode(user.get(f"client-{part}-data", "")) for part in ("key", "certificate")]
    return Door(about["server"], base64.b64decode(about["certificate-authority-data"]).decode(), user.get("token", ""), (pair[0], pair[1]))


def certificates(cluster: Any, names: Sequence[str], namespace: str) -> Mapping[str, tuple[bytes, bytes]]:
    """A key and a certificate for each name, signed by the cluster itself; both PEM."""
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in names}
    requests = []
    for name, key in keys.items():
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        request = kind.certificate_request(f"{namespace}-{name}", csr.public_bytes(serialization.Encoding.PEM))
        requests.append(request)
    called = [f"csr/{namespace}-{name}" for name in names]
    cluster.kubectl("create", "-f", "-", input=yaml.safe_dump_all(requests))
    cluster.kubectl("certificate", "approve", *called)

    def signed() -> dict[str, str]:
        listed = json.loads(cluster.kubectl("get", *called, "-o", "json"))["items"]
        return {one["metadata"]["name"]: one["status"]["certificate"] for one in listed if one.get("status", {}).get("certificate")}

    process.until("the certificates", 30, lambda: len(signed()) == len(names))
    made = signed()
    cluster.kubectl("delete", *called)
    plain = serialization.NoEncryption()
    return {
        name: (
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain),
            base64.b64decode(made[f"{namespace}-{name}"]),
        )
        for name, key in keys.items()
    }


class Crowd:
    """Everybody of the matrix, logged in."""

    def __init__(self, logins: Mapping[str, Login]) -> None:
        self.logins = logins

    def __getitem__(self, name: str) -> Login:
        return self.logins[name]

    def __iter__(self) -> Any:
        return iter(self.logins.values())


@contextlib.asynccontextmanager
async def gathered(
    address: str, authority: str, keys: Mapping[str, tuple[bytes, bytes]], tokens: Mapping[str, tuple[str, str]]
) -> AsyncIterator[Crowd]:
    """Log everybody in; `keys` has PEM and `tokens` a username and a token, by the person's name."""
    known = {person.name: person for person in (*PEOPLE, *ROBOTS)} | {"operator": OPERATORS, "masters": MASTERS}
    async with contextlib.AsyncExitStack() as stack:
        logins = {}
        for name in (*keys, *tokens):
            tls = ssl.create_default_context(cadata=authority)
            headers = {"Accept": "application/json"}
            if name in keys:
                with tempfile.NamedTemporaryFile() as file:
                    file.write(b"\n".join(keys[name]))
                    file.flush()
                    tls.load_cert_chain(file.name)
            else:
                headers["Authorization"] = f"Bearer {tokens[name][1]}"
            connector = aiohttp.TCPConnector(ssl=tls, limit=4)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, headers=headers))
            person = known.get(name, Person(name))
            logins[name] = Login(person, session, address, tokens[name][0] if name in tokens else person.name)
        yield Crowd(logins)


@contextlib.asynccontextmanager
async def one(cluster: Any, user: str) -> AsyncIterator[Login]:
    """One of the node's own users, by their kubeconfig."""
    view = json.loads(cluster.kubectl("config", "view", "--raw", "--flatten", "-o", "json", user=user))["users"][0]["user"]
    at = door(cluster)
    pair = [base64.b64decode(view.get(f"client-{part}-data", "")) for part in ("key", "certificate")]
    tokens = {user: (user, view["token"])} if "token" in view else {}
    keys = {} if tokens else {user: (pair[0], pair[1])}
    async with gathered(at.address, at.authority, keys, tokens) as crowd:
        yield crowd[user]


async def together(limit: int, *calls: Any) -> list[Any]:
    """All of them, so many at a time."""
    gate = asyncio.Semaphore(limit)

    async def one(call: Any) -> Any:
        async with gate:
            return await call

    return await asyncio.gather(*map(one, calls))

"""What a test or a demo does with a cluster, the same for every sort of cluster."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import json
import pathlib
import re
import secrets
import select
import string
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from tests.cluster.node import binaries, layout, process
from tests.cluster.node.store import Store

_OBJECTS = pathlib.Path(__file__).with_name("objects")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster that runs, and how to get at it."""

    kubeconfigs: pathlib.Path
    """A folder with one file for each user."""
    program: pathlib.Path
    """kubectl."""
    load: Callable[[pathlib.Path], None]
    """Brings an image archive to where pods find it."""
    routed: bool
    """Whether the addresses of Services can be reached from here."""

    @property
    def kubeconfig(self) -> pathlib.Path:
        """The admin's."""
        return self.kubeconfig_for(layout.ADMIN)

    def kubeconfig_for(self, user: str) -> pathlib.Path:
        """That of admin, alice, bob, carol, gitops or nobody."""
        file = self.kubeconfigs / user
        if not file.is_file():
            raise KeyError(f"no user {user!r}; there are {', '.join(sorted({*layout.USERS, layout.GITOPS}))}")
        return file

    def takes(self, manifest: pathlib.Path) -> bool:
        """Whether the API server knows the kinds of a manifest: those just installed it answers 503 for some seconds; a dry run.

        Any other refusal is for who applies it to see.
        """
        try:
            self.kubectl("apply", "--dry-run=server", "--namespace=default", f"--filename={manifest}")
        except KubectlError as error:
            return "ServiceUnavailable" not in str(error)
        return True

    def kubectl(self, *args: str | pathlib.Path, user: str = layout.ADMIN, input: str | None = None) -> str:  # noqa: A002  subprocess's word
        """What a kubectl command prints.

        Raises:
            KubectlError: it failed; carries what it said.
        """
        done = subprocess.run(self._command(user, *args), input=input, capture_output=True, text=True, env=process.quiet(), check=False)
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(map(str, args))} (as {user}): {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    @contextlib.contextmanager
    def port_forward(self, target: str, port: int, namespace: str = layout.NAMESPACE) -> Iterator[int]:
        """A port of 127.0.0.1 that leads to a pod or `svc/NAME` while the context lasts.

        It leads to one pod, and for good to nothing once that pod refuses a connection: wait until it is Ready.
        """
        command = self._command(layout.ADMIN, "port-forward", "--namespace", namespace, target, f":{port}")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=process.quiet()) as forwarding:
            try:
                port_here = _announced(forwarding, target)
                # It tells of each connection, and would stop when nobody reads.
                threading.Thread(target=forwarding.stdout.read if forwarding.stdout else None, daemon=True).start()
                yield port_here
            finally:
                forwarding.terminate()

    @functools.cached_property
    def store(self) -> Store:
        """The object store, reachable from this process for as long as it runs."""
        data = json.loads(self.kubectl("get", "secret", "store", f"--namespace={layout.NAMESPACE}", "--output=jsonpath={.data}"))
        access, secret = (base64.b64decode(data[f"AWS_{name}"]).decode() for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
        if self.routed:
            service = f"--namespace={layout.NAMESPACE} service store --output=jsonpath={{.spec.clusterIP}}"
            return Store(f"http://{self.kubectl('get', *service.split())}:7070", access, secret)
        # Left open on purpose: it ends with this process's other children.
        return Store(f"http://127.0.0.1:{self.port_forward('svc/store', 7070).__enter__()}", access, secret)

    def install(self, name: str, values: Mapping[str, str]) -> None:
        """Apply the objects of `objects/NAME.yaml` with `${…}` filled in."""
        text = string.Template((_OBJECTS / f"{name}.yaml").read_text()).substitute(values)
        self.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", input=text)

    def install_store(self, folder: pathlib.Path) -> None:
        """Put the object store into the cluster, its files in a folder of the cluster's node, its credentials in the Secret `store`."""
        self.install("store", {"STORE": str(folder)})
        keys = {"AWS_ACCESS_KEY_ID": secrets.token_hex(10), "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30)}
        names = {"name": "store", "namespace": layout.NAMESPACE}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": names, "type": "Opaque", "immutable": True, "stringData": keys}
        if not self.kubectl("get", "secret", "store", f"--namespace={layout.NAMESPACE}", "--ignore-not-found"):
            self.kubectl("create", "--filename=-", input=json.dumps(secret))

    def make_buckets(self) -> bool:
        """Whether the store's buckets are there now; False while it cannot be reached, or does not know its user yet."""
        try:
            for bucket, lock in layout.BUCKETS.items():
                self.store.create(bucket, lock=lock)
        except OSError as error:
            if not isinstance(error, ConnectionError):
                binaries.say(f"  the store is not ready to make {bucket}: {error}")
            return False
        return True

    def says(self, *arguments: str) -> str:
        """What a kubectl command prints, or nothing if it fails: for waiting."""
        try:
            return self.kubectl(*arguments, "--request-timeout=5s").strip()
        except KubectlError:
            return ""

    def available(self, namespace: str, deployment: str) -> bool:
        """Whether a Deployment of one replica has it."""
        return (
            self.says("get", "deployment", deployment, "--namespace", namespace, "--output", "jsonpath={.status.availableReplicas}") == "1"
        )

    def token(self, namespace: str, account: str) -> str:
        """A token of a service account, for a year."""
        return self.kubectl("create", "token", account, f"--namespace={namespace}", "--duration=8760h").strip()

    def _command(self, user: str, *args: str | pathlib.Path) -> list[str]:
        return [str(self.program), f"--kubeconfig={self.kubeconfig_for(user)}", *map(str, args)]


class KubectlError(Exception):
    """kubectl said no; the message is what it said."""


def _announced(forwarding: subprocess.Popen[str], target: str, seconds: float = 30) -> int:
    """The port kubectl chose, which it prints when it listens."""
    assert forwarding.stdout
    deadline = time.monotonic() + seconds
    said = ""
    while select.select([forwarding.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        line = forwarding.stdout.readline()
        if found := re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", line):
            return int(found[1])
        said += line
        if not line:
            break
    raise KubectlError(f"port-forward to {target} did not start: {said.strip()}")

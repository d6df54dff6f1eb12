"""The cluster: kind's where Docker is, else a node of our own, started in the order its programs need, taken down without a trace."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import functools
import json
import pathlib
import shutil
import sys
import time
from collections.abc import Collection, Iterator

from tests.cluster.node import access, binaries, components, host, identity, image, kind, layout, network, process

_CONTROL = ("etcd", "api-server", "controller-manager", "scheduler")
_WORKER = ("containerd", "kubelet", "proxy")
_NEEDED = [name for name in binaries.PROGRAMS if name not in {"helm", "minio"}]


def up() -> access.Cluster:
    """A running node: the one that is there if it is well, else a new one.

    Raises:
        SystemExit: it did not start; says which program, and where its log is.
    """
    if image.kind():
        return kind.up()
    with _alone():
        if healthy():
            _settle()
            binaries.say(f"the node is up already: KUBECONFIG={layout.KUBECONFIGS}/{layout.ADMIN}")
            return cluster()
        _down()
        host.require()
        programs = binaries.find(_NEEDED)
        archives = [image.program(name, programs[name]) for name in ("pause", "coredns", "versitygw")]
        began = time.monotonic()
        binaries.say("starting the node (about 20 s) …")
        try:
            _start(programs, archives, began)
        except (OSError, RuntimeError, access.KubectlError) as error:
            sys.exit(f"The node did not start: {error}\n`python -m tests.cluster.node down` removes what is left of it.")
        binaries.say(f"the node is up after {time.monotonic() - began:.0f} s: KUBECONFIG={layout.KUBECONFIGS}/{layout.ADMIN}")
        return cluster()


def down() -> None:
    """Stop the node and remove all it left on the machine; harmless when there is none."""
    if image.kind():
        return kind.down()
    with _alone():
        existed = layout.STATE.exists()
        _down()
        binaries.say("the node is gone" if existed else "there was no node")
    return None


def cluster() -> access.Cluster:
    """How to get at it while it runs."""
    if image.kind():
        return kind.cluster()
    return access.Cluster(layout.KUBECONFIGS, binaries.find(["kubectl"])["kubectl"], image.load, routed=True)


def healthy() -> bool:
    """Whether it was set up to the end and its programs run; how busy they are does not matter."""
    if image.kind():
        return kind.healthy()
    return (layout.STATE / "complete").exists() and all(process.running(name) for name in (*_CONTROL, *_WORKER))


def status() -> dict[str, str]:
    """Each program with its pid, and the node's state, for a person to read."""
    if image.kind():
        return {"kind": "well" if healthy() else "not well"}
    lines = {name: f"pid {pid}" if (pid := process.running(name)) else "not running" for name in (*_CONTROL, *_WORKER)}
    return lines | {"node": "well" if healthy() else "not well"}


def _start(programs: dict[str, pathlib.Path], archives: list[pathlib.Path], began: float) -> None:
    address = layout.address()
    layout.STATE.mkdir(parents=True)
    layout.STATE.chmod(0o700)
    layout.RUN.mkdir(parents=True, exist_ok=True)
    host.prepare()
    network.configure()
    components.containerd(programs["containerd"], programs["containerd-shim-runc-v2"])
    components.etcd(programs["etcd"])
    identity.create(address)
    components.api_server(programs["kube-apiserver"], address)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        loading = pool.submit(_load, archives)
        process.until(
            "the API server", 60, lambda: cluster().says("get", "--raw", "/readyz") == "ok", logs="api-server", needs=_CONTROL[:2]
        )
        _say(began, "the API server answers")
        components.controller_manager(programs["kube-controller-manager"])
        components.scheduler(programs["kube-scheduler"])
        components.kubelet(programs["kubelet"], address)
        components.proxy(programs["kube-proxy"])
        loading.result()
        _install()
    process.until("the node", 60, _ready, logs="kubelet", needs=(*_CONTROL, *_WORKER))
    _say(began, "the node is Ready")
    _settle()
    (layout.STATE / "complete").touch()


def _settle() -> None:
    """Wait until the node has what users find in it, after a start or after whatever they did to it since."""
    process.until("the API server and the node", 60, _ready, logs="api-server", needs=(*_CONTROL, *_WORKER))
    cluster().install_store(layout.STORE)
    process.until("DNS and the object store", 120, _available, logs="kubelet", needs=(*_CONTROL, *_WORKER))
    # Available, but kube-proxy may hear of it a moment later.
    process.until("the buckets", 30, cluster().make_buckets, logs="proxy", needs=["proxy"])


def _load(archives: list[pathlib.Path]) -> None:
    process.until("containerd", 30, layout.CONTAINERD.is_socket, logs="containerd", needs=["containerd"])
    for archive in archives:
        image.load(archive)


def _install() -> None:
    node = cluster()
    forward = "forward . /etc/resolv.conf" if "nameserver" in network.resolvers() else ""
    node.install("coredns", {"FORWARD": forward, "DNS_SERVICE": layout.DNS_SERVICE})
    node.install_store(layout.STORE)
    node.install("users", {})
    identity.write_kubeconfig(layout.GITOPS, {"token": node.token(layout.GITOPS, "modelyard-gitops")})


def _ready() -> bool:
    ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return cluster().says("get", "node", layout.NODE, "--output", ready) == "True"


def _available() -> bool:
    there = cluster().available
    return there("kube-system", "coredns") and there(layout.NAMESPACE, "store")


def _down() -> None:
    process.stop("kubelet")  # first: it would start again what ends
    _end_pods()
    for name in process.known():
        process.stop(name)
    for pid, command in process.commands():  # should a record be lost
        if _ours(command):
            process.end(pid, grace=5, same=functools.partial(_still_ours, pid))
    if layout.STATE.exists() or layout.RUN.exists():
        _end_pods()  # what containerd began meanwhile
        host.unmount()
        network.clean()
        host.restore()
        _unlink_logs()
    for folder in (layout.STATE, layout.RUN):
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            sys.exit(f"{folder} could not be removed: something still uses it; try again, or look with `fuser -vm {folder}`.")


def _end_pods() -> None:
    """End the processes of all pods, then the shims that held them."""
    for pid in host.pids():
        start = process.born(pid)
        process.end(pid, grace=0, same=functools.partial(_still_a_pods, pid, start))
    for pid, command in process.commands():
        if _ours(command, ["containerd-shim-runc-v2"]):
            process.end(pid, grace=2, same=functools.partial(_still_ours, pid))
    for file in (layout.RUN / "containerd").glob("io.containerd.runtime.v2.task/*/*/bootstrap.json"):
        with contextlib.suppress(OSError, ValueError):
            pathlib.Path(json.loads(file.read_text())["address"].removeprefix("unix://")).unlink(missing_ok=True)


def _ours(command: list[str], names: Collection[str] = binaries.PROGRAMS) -> bool:
    """Whether this is the command line of one of the node's programs: by its name, and one of this node's own places in it."""
    places = (f"{layout.STATE}/", str(layout.CONTAINERD))
    return pathlib.Path(command[0]).name in names and any(place in part for part in command for place in places)


def _still_ours(pid: int) -> bool:
    return _ours(process.command(pid))


def _still_a_pods(pid: int, born: str | None) -> bool:
    return pid in host.pids() and process.born(pid) == born


def _unlink_logs() -> None:
    """Remove what the kubelet and containerd put outside of their configured folders, if it is ours or empty."""
    for link in pathlib.Path("/var/log/containers").glob("*"):
        if link.is_symlink() and str(link.readlink()).startswith(f"{layout.STATE}/"):
            link.unlink()
    plugins = pathlib.Path("/var/lib/kubelet/device-plugins")
    for name in ("kubelet.sock", "kubelet_internal_checkpoint", "DEPRECATION"):
        (plugins / name).unlink(missing_ok=True)
    leftovers = ("/var/log/containers", "/var/lib/kubelet/device-plugins", "/var/lib/kubelet", "/run/containerd/s", "/run/containerd")
    for folder in leftovers:
        with contextlib.suppress(OSError):  # not empty: somebody else's
            pathlib.Path(folder).rmdir()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One `up` or `down` at a time on this machine."""
    binaries.CACHE.mkdir(parents=True, exist_ok=True)
    with (binaries.CACHE / "cluster.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            binaries.say("another `up` or `down` is at work: waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(began: float, text: str) -> None:
    binaries.say(f"  {time.monotonic() - began:4.1f} s  {text}")

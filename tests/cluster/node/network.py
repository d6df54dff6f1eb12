"""The pods' network: one routed link for each pod, and no trace in the packet filter afterwards."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess

from tests.cluster.node import layout

_OURS = re.compile(r"(?:KUBE|CNI)-[\w-]+")
_JUMP = re.compile(rf" -[jg] {_OURS.pattern}(?: |$)")
CNI = layout.STATE / "cni"


def configure() -> None:
    """Write the CNI configuration.

    Links (`ptp`) rather than a bridge: all traffic is routed, so a Service works between pods without bridge netfilter.
    """
    ipam = {"type": "host-local", "ranges": [[{"subnet": layout.PODS}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": str(CNI / "leases")}
    plugins = [
        {"type": "ptp", "ipMasq": True, "mtu": _mtu(), "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    (CNI / "net.d").mkdir(parents=True)
    (CNI / "net.d" / "10-modelyard.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "modelyard", "plugins": plugins}))


def resolvers() -> str:
    """A resolv.conf with this machine's name servers, without those that only this machine itself can reach."""
    lines: list[str] = []
    for file in (pathlib.Path("/etc/resolv.conf"), pathlib.Path("/run/systemd/resolve/resolv.conf")):
        if file.is_file():
            lines = [line for line in file.read_text().splitlines() if not re.match(r"nameserver\s+(127\.|::1)", line)]
        if any(line.startswith("nameserver") for line in lines):
            break
    return "\n".join([*lines, ""])


def clean() -> None:
    """Remove what the pods' links and kube-proxy left: interfaces go with their namespaces, rules and chains here."""
    for family in ("iptables", "ip6tables"):
        if shutil.which(f"{family}-save"):
            rules = subprocess.run([f"{family}-save"], capture_output=True, text=True, check=False).stdout
            if undo := undoing(rules):
                subprocess.run([f"{family}-restore", "--noflush"], input=undo, capture_output=True, text=True, check=True)
    shutil.rmtree("/var/lib/cni/results", ignore_errors=True)
    _rmdir(pathlib.Path("/var/lib/cni"))


def undoing(rules: str) -> str:
    """What `iptables-restore --noflush` must read to delete every chain of Kubernetes and CNI, given `iptables-save`.

    >>> print(undoing("*nat\\n:KUBE-A - [0:0]\\n-A POSTROUTING -j KUBE-A\\n-A KUBE-A -j RETURN\\nCOMMIT\\n"), end="")
    *nat
    -F KUBE-A
    -D POSTROUTING -j KUBE-A
    -X KUBE-A
    COMMIT
    """
    undo: list[str] = []
    for table in re.findall(r"^\*\w+$.*?^COMMIT$", rules, re.MULTILINE | re.DOTALL):
        lines = table.splitlines()
        chains = [line[1:].split()[0] for line in lines if line.startswith(":") and _OURS.fullmatch(line[1:].split()[0])]
        jumps = [line for line in lines if line.startswith("-A ") and not _OURS.match(line[3:]) and _JUMP.search(line)]
        if chains or jumps:
            undo += [lines[0], *(f"-F {c}" for c in chains), *(f"-D {j[3:]}" for j in jumps), *(f"-X {c}" for c in chains), "COMMIT"]
    return "\n".join([*undo, ""]) if undo else ""


def _mtu() -> int:
    """That of the interface the default route uses: a larger one loses packets silently."""
    route = subprocess.run(["ip", "-o", "route", "get", "198.51.100.1"], capture_output=True, text=True, check=True).stdout
    interface = route.split(" dev ")[1].split()[0]
    return int(pathlib.Path(f"/sys/class/net/{interface}/mtu").read_text())


def _rmdir(folder: pathlib.Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()

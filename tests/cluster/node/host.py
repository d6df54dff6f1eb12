"""What the machine must have before a node can run on it, and how it is put back afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

from tests.cluster.node import layout

_PACKAGES = {
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "debootstrap": "debootstrap",
    "buildah": "buildah",
    "openssl": "openssl",
    "ip": "iproute2",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
"""A program or file → the Debian package that brings it."""
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    # The rest is set by the kubelet and kube-proxy; listed to be put back.
    "net/ipv4/conf/all/route_localnet": None,
    "vm/overcommit_memory": None,
    "kernel/panic": None,
    "kernel/panic_on_oops": None,
    "net/netfilter/nf_conntrack_max": None,
    "net/netfilter/nf_conntrack_tcp_timeout_established": None,
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait": None,
}
_SAVED = layout.STATE / "sysctl.json"
_CGROUPS = pathlib.Path("/sys/fs/cgroup")


def require() -> None:
    """Check that a node can run here, and install the Debian packages that are missing.

    Raises:
        SystemExit: it cannot; says why, and what to do.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        sys.exit("A node needs Linux and root. Elsewhere, install Docker and kind, and set CLUSTER=kind.")
    path = os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [
        package
        for program, package in _PACKAGES.items()
        if not (pathlib.Path(program).exists() if program[0] == "/" else shutil.which(program, path=path))
    ]
    if missing:
        _install(missing)
    taken = {port: whose for port, whose in layout.PORTS.items() if _taken(port)}
    if taken:
        ports = ", ".join(f"{port} ({whose})" for port, whose in taken.items())
        sys.exit(f"Something else on this machine listens on {ports}: stop it and run this again.")


def prepare() -> None:
    """Set the sysctls a node needs, keeping what was there, and make the cgroup that its pods live under."""
    values = {}
    for name, value in _SYSCTLS.items():
        file = pathlib.Path("/proc/sys") / name
        with contextlib.suppress(OSError):
            values[name] = file.read_text().strip()
            if value is not None and values[name] != value:
                file.write_text(value)
    _SAVED.write_text(json.dumps(values))
    for hierarchy in _hierarchies():
        (hierarchy / layout.CGROUP).mkdir(exist_ok=True)
        _inherit_cpuset(hierarchy)


def restore() -> None:
    """Undo `prepare`, once no process is left."""
    with contextlib.suppress(FileNotFoundError):
        for name, value in json.loads(_SAVED.read_text()).items():
            with contextlib.suppress(OSError):
                (pathlib.Path("/proc/sys") / name).write_text(value)
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / layout.CGROUP, topdown=False):
            _remove_cgroup(pathlib.Path(folder))


def pids() -> set[int]:
    """The processes of all pods."""
    found: set[int] = set()
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / layout.CGROUP):
            with contextlib.suppress(OSError):
                found |= {int(pid) for pid in pathlib.Path(folder, "cgroup.procs").read_text().split() if pid != "0"}
    return found


def unmount() -> None:
    """Unmount all that is mounted below the node's folders, the innermost first."""
    places = [line.split()[4].encode().decode("unicode_escape") for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in reversed(places):
        if (
            any(place.startswith(f"{folder}/") for folder in (layout.STATE, layout.RUN))
            and subprocess.run(["umount", place], capture_output=True, check=False).returncode
        ):
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)


def _install(packages: list[str]) -> None:
    if not shutil.which("apt-get"):
        sys.exit(f"These programs are missing, and this is no Debian: {', '.join(packages)}. Install them and run this again.")
    print(f"installing from Debian: {' '.join(packages)} (about 40 s) …", file=sys.stderr, flush=True)
    for arguments in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "-o", "Dpkg::Use-Pty=0", *arguments], env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"apt-get {arguments[0]} failed:\n{done.stdout[-3000:]}")


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False


def _hierarchies() -> list[pathlib.Path]:
    """The roots of the cgroup trees: the one of version 2, or one for each controller of version 1."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [folder for folder in _CGROUPS.iterdir() if folder.is_dir() and not folder.is_symlink()] if _CGROUPS.is_dir() else []


def _inherit_cpuset(hierarchy: pathlib.Path) -> None:
    # A new cpuset of version 1 is empty, and nothing can run in it.
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = hierarchy / layout.CGROUP / name
        if hierarchy != _CGROUPS and file.exists() and not file.read_text().strip():
            file.write_text((hierarchy / name).read_text())


def _remove_cgroup(folder: pathlib.Path) -> None:
    for _ in range(50):  # an ended process leaves its cgroup a moment later
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return

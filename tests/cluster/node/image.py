"""Container images without a registry: from single programs, from a Debian base, from Dockerfiles."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Collection, Mapping
from typing import IO

from tests.cluster.node import binaries, layout

_RECIPE = ["--variant=minbase", "--include=python3,python3-venv,ca-certificates", "bookworm"]
_USELESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/info")
BASE = f"localhost/python:3.11-{hashlib.sha256(repr((_RECIPE, _USELESS)).encode()).hexdigest()[:12]}"
"""Debian with its own Python 3.11; stands in for the official `python:3.11-slim-bookworm`, which only a registry has."""
_STORAGE = binaries.CACHE / "buildah"


def program(name: str, path: pathlib.Path) -> pathlib.Path:
    """An image archive that holds one static program and nothing else, tagged `localhost/NAME:node` (`pause`: `:1`)."""
    tag = f"localhost/{name}:{'1' if name == 'pause' else 'node'}"
    # The program's folder in the cache is named after its sources.
    target = layout.IMAGES / f"{_file(f'{name}-{path.parent.name}-{path.stat().st_mtime_ns}')}.tar"
    if not target.exists():
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            for folder in ("data", "tmp", "etc"):
                _add(tar, folder, mode=0o1777 if folder == "tmp" else 0o755)
            _add(tar, name, path.read_bytes())
        _write(target, tag, layer.getvalue(), {"Entrypoint": [f"/{name}"]})
    return target


def base() -> pathlib.Path:
    """The archive of the image `BASE`, made by debootstrap once (about 60 s)."""
    target = layout.IMAGES / f"{_file(BASE)}.tar"
    if not target.exists() and kind():
        _run("docker", "pull", "python:3.11-slim-bookworm")
        _run("docker", "tag", "python:3.11-slim-bookworm", BASE)
        _run("docker", "save", "--output", target, BASE)
    elif not target.exists():
        binaries.say("making the Python base image from Debian packages, once (about 60 s) …")
        layout.IMAGES.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=layout.IMAGES) as folder:
            root = pathlib.Path(folder, "root")
            done = subprocess.run(
                ["debootstrap", *_RECIPE[:-1], _RECIPE[-1], root, *_mirror()], capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(f"debootstrap failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
            for useless in _USELESS:
                shutil.rmtree(root / useless, ignore_errors=True)
                (root / useless).mkdir()
            layer = subprocess.run(
                ["tar", "--create", "--numeric-owner", "--sort=name", "--exclude=./dev/*", "--exclude=./proc/*", "--directory", root, "."],
                stdout=subprocess.PIPE, check=True,
            ).stdout  # fmt: skip
            _write(target, BASE, layer, {"Cmd": ["python3"], "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"]})
    return target


def build(dockerfile: pathlib.Path, tag: str, context: pathlib.Path = layout.REPOSITORY) -> pathlib.Path:
    """Build a Dockerfile whose `ARG BASE` is a Python image; returns the image's archive, for `load`.

    Layers are kept in a store below the cache, so what did not change is not built again. Only with Docker the archive is
    Docker's, and the base the official one.

    Raises:
        SystemExit: it could not be built; says why, with the builder's words.
    """
    target = layout.IMAGES / f"{_file(tag)}.tar"
    layout.IMAGES.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    binaries.say(f"building image {tag} ({'about 10 s' if target.exists() else 'about 2 min the first time'}) …")
    if kind():
        _run("docker", "build", "--tag", tag, "--file", dockerfile, context)
        _run("docker", "save", "--output", target, tag)
    else:
        archive = base()
        have = subprocess.run([*_buildah("inspect", "--type", "image"), BASE], capture_output=True, check=False)
        if have.returncode:
            _run(*_buildah("pull"), "--quiet", f"oci-archive:{archive}")
        with tempfile.TemporaryDirectory() as folder:
            built = _run(
                *_buildah("build"), "--quiet", "--isolation=chroot", "--layers", "--pull-never", f"--build-arg=BASE={BASE}",
                *_registry(pathlib.Path(folder)), *_ignored(dockerfile), "--tag", tag, "--file", dockerfile, context,
            )  # fmt: skip
        identity = target.with_suffix(".id")
        if target.exists() and identity.exists() and identity.read_text() == built:
            return target
        identity.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        _run(*_buildah("push"), "--quiet", "--compression-format=zstd", tag, f"oci-archive:{target}:{reference(tag)}")
        identity.write_text(built)
    binaries.say(f"image {tag} built in {time.monotonic() - began:.0f} s")
    return target


def load(archive: pathlib.Path) -> None:
    """Bring an image archive into the node; layers the node already has are not sent again.

    Raises:
        RuntimeError: containerd did not take it; carries its words.
    """
    present = subprocess.run([*_ctr(), "content", "ls", "--quiet"], capture_output=True, text=True, check=True).stdout.split()
    # What was there may be collected as garbage meanwhile: then all of it.
    if _import(archive, present) and (errors := _import(archive, [])):
        raise RuntimeError(f"{archive} could not be loaded into the node: {errors}")


def _import(archive: pathlib.Path, present: Collection[str]) -> str:
    """What containerd has against an archive without the blobs that are present; nothing when it took it."""
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            [*_ctr(), "images", "import", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors
        ) as importing:
            assert importing.stdin
            with contextlib.suppress(BrokenPipeError):  # it says why it stopped reading
                _copy(archive, importing.stdin, present)
                importing.stdin.close()
        errors.seek(0)
        return f"exit code {importing.returncode}: {errors.read().decode().strip()}" if importing.returncode else ""


def _ctr() -> list[str]:
    return [str(binaries.find(["ctr"])["ctr"]), "--address", str(layout.CONTAINERD), "--namespace", "k8s.io"]


def reference(tag: str) -> str:
    """A tag as containerd and the kubelet spell it out: `modelyard:dev` is `docker.io/library/modelyard:dev`."""
    first, slash, _ = tag.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return tag
    return f"docker.io/{tag}" if slash else f"docker.io/library/{tag}"


def kind() -> bool:
    """Whether the cluster is kind's: as `CLUSTER` says (`kind` or `node`), else wherever a Docker engine answers."""
    if flavour := os.environ.get("CLUSTER"):
        return flavour == "kind"
    docker = shutil.which("docker")
    return bool(docker) and not subprocess.run([str(docker), "info"], capture_output=True, check=False).returncode


def _copy(archive: pathlib.Path, out: IO[bytes], present: Collection[str]) -> None:
    with tarfile.open(archive) as source, tarfile.open(fileobj=out, mode="w|") as target:
        for member in source:
            digest = f"sha256:{pathlib.PurePath(member.name).name}"
            if member.name.removeprefix("./").startswith("blobs/") and digest in present:
                continue
            target.addfile(member, source.extractfile(member))


def _write(target: pathlib.Path, tag: str, layer: bytes, config: Mapping[str, object]) -> None:
    """An OCI archive of one uncompressed layer."""
    blobs: dict[str, bytes] = {}

    def blob(kind_: str, content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"application/vnd.oci.image.{kind_}", "digest": f"sha256:{digest}", "size": len(content)}

    data = blob("layer.v1.tar", layer)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    about = {
        "os": "linux", "architecture": machine, "config": config, "rootfs": {"type": "layers", "diff_ids": [data["digest"]]},
        "history": [{"created_by": "tests/cluster/node/image.py"}],  # buildah counts: one for each layer
    }  # fmt: skip
    # Docker and kind read manifest.json, the others index.json.
    settings = blob("config.v1+json", json.dumps(about).encode())
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": settings, "layers": [data]}
    names = {"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "manifests": [blob("manifest.v1+json", json.dumps(manifest).encode()) | {"annotations": names}]}
    config_path, layer_path = (f"blobs/sha256/{str(one['digest'])[7:]}" for one in (settings, data))
    docker = {"manifest.json": json.dumps([{"Config": config_path, "RepoTags": [tag], "Layers": [layer_path]}]).encode()}
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    with tarfile.open(partial, "w") as tar:
        for name, content in {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps(index).encode(),
            **docker,
            **blobs,
        }.items():
            _add(tar, name, content, mode=0o644)
    partial.rename(target)


def _add(tar: tarfile.TarFile, name: str, content: bytes | None = None, mode: int = 0o755) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type, entry.size = mode, tarfile.REGTYPE if content is not None else tarfile.DIRTYPE, len(content or b"")
    tar.addfile(entry, io.BytesIO(content or b""))


def _registry(folder: pathlib.Path) -> list[str]:
    """Mounts that let pip inside a build reach its index the way pip outside does: settings and authorities, never kept in the image."""
    settings = {k: v for k, v in _pip().items() if k in {"index-url", "extra-index-url", "trusted-host", "timeout", "default-timeout"}}
    mounts = []
    for certificates in (_pip().get("cert"), os.environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt"):
        if certificates and pathlib.Path(certificates).is_file():
            mounts.append(f"--volume={pathlib.Path(certificates).resolve()}:/run/ca-certificates.crt:ro")
            settings["cert"] = "/run/ca-certificates.crt"
            break
    file = folder / "pip.conf"
    file.write_text("\n".join(["[global]", *(f"{k} = {v}" for k, v in settings.items())]) + "\n")
    return [*mounts, f"--volume={file}:/etc/pip.conf:ro"]


def _pip() -> dict[str, str]:
    """pip's settings here: of its files, the later winning, then of the environment."""
    home = pathlib.Path.home()
    files = configparser.ConfigParser(interpolation=None)
    files.read(
        ["/etc/pip.conf", home / ".pip" / "pip.conf", home / ".config" / "pip" / "pip.conf", os.environ.get("PIP_CONFIG_FILE", os.devnull)]
    )
    stored = dict(files["global"]) if files.has_section("global") else {}
    return stored | {k.removeprefix("PIP_").lower().replace("_", "-"): v for k, v in os.environ.items() if k.startswith("PIP_") and v}


def _mirror() -> list[str]:
    """The Debian mirror that apt uses here, when it is one of bookworm."""
    sites = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Codename: bookworm", "Created-By: Packages"],
        capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    return sites[:1]


def _buildah(verb: str, *options: str) -> list[str]:
    return ["buildah", f"--root={_STORAGE}/root", f"--runroot={_STORAGE}/run", "--storage-driver=overlay", verb, *options]


def _ignored(dockerfile: pathlib.Path) -> list[str]:
    """What Docker finds by itself: the list of files beside the Dockerfile that are not sent to the builder."""
    file = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
    return [f"--ignorefile={file}"] if file.exists() else []


def _run(*command: str | pathlib.Path) -> str:
    """What a command printed; it ends this program if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{pathlib.Path(command[0]).name} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def _file(tag: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", tag)

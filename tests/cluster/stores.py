"""Object stores as processes of this machine: versitygw and MinIO on free ports, started and stopped by the tests that use them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from modelyard.content import location
from modelyard.edge.s3 import store

CREDENTIALS = location.Credentials("modelyard-test", "modelyard-test-secret")
"""The root user of every store started here."""
KINDS = ("versitygw", "minio")
_BINARIES = pathlib.Path(__file__).parent / "node" / "binaries.py"
_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Running:
    """A store that answers."""

    kind: str
    folder: pathlib.Path
    """Where versitygw keeps objects as plain files: `<folder>/<bucket>/<key>`."""
    address: location.Address
    pid: int

    def open(self) -> store.Store:
        """A client of the root user."""
        return store.Store(self.address)


@functools.cache
def binary(kind: str) -> str:
    """The program, built if it has to be."""
    printed = subprocess.run([sys.executable, _BINARIES, kind], check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(line.split("\t") for line in printed.splitlines())[kind]


@contextlib.contextmanager
def run(kind: str, folder: pathlib.Path, *, certificate: tuple[pathlib.Path, pathlib.Path] | None = None) -> Iterator[Running]:
    """Runs a store on a free port; its objects are below `folder`. With a certificate and its key it speaks TLS (versitygw)."""
    data, versions = folder / "data", folder / "versions"
    for each in (data, versions):
        each.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    command, environment = _command(kind, data, versions, port)
    if certificate:
        command[1:1] = ["--cert", str(certificate[0]), "--key", str(certificate[1])]
    address = location.Address(
        f"{'https' if certificate else 'http'}://127.0.0.1:{port}",
        credentials=CREDENTIALS,
        ca_pem=certificate[0].read_text() if certificate else None,
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(process, port, folder / "log")
        yield Running(kind, data, address, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _command(kind: str, data: pathlib.Path, versions: pathlib.Path, port: int) -> tuple[list[str], dict[str, str]]:
    user, password = CREDENTIALS.access_key, CREDENTIALS.secret_key
    if kind == "versitygw":
        # Without keep-alive every request is a new connection.
        command = [
            binary(kind),
            "--port",
            f"127.0.0.1:{port}",
            "--keep-alive",
            "--quiet",
            "posix",
            "--versioning-dir",
            str(versions),
            str(data),
        ]
        return command, {"ROOT_ACCESS_KEY": user, "ROOT_SECRET_KEY": password}
    command = [binary(kind), "server", "--quiet", "--address", f"127.0.0.1:{port}", "--console-address", "127.0.0.1:0", str(data)]
    return command, {"MINIO_ROOT_USER": user, "MINIO_ROOT_PASSWORD": password, "MINIO_UPDATE": "off"}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: pathlib.Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the store did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)

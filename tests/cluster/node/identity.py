"""Who may talk to the API server: certificates, tokens, and one kubeconfig for each user and component."""

from __future__ import annotations

import json
import pathlib
import secrets
import subprocess
import tempfile
from collections.abc import Mapping

from tests.cluster.node import layout


def create(address: str) -> None:
    """Write certificates, tokens and kubeconfigs for an API server at this address.

    Tokens rather than certificates for people: the API server reads them from one file, and a user's name is what stands there.
    """
    layout.CERTIFICATES.mkdir(parents=True, mode=0o700)
    _openssl("req", "-x509", *_key("ca"), "-subj", "/CN=modelyard-test-ca", "-days", "3650", "-out", _pem("ca", "crt"))
    names = "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
    names += f",IP:127.0.0.1,IP:{layout.API_SERVICE},IP:{address}"
    _sign("apiserver", "/CN=kube-apiserver", f"extendedKeyUsage=serverAuth\nsubjectAltName={names}\n")
    _sign("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver", "extendedKeyUsage=clientAuth\n")
    _openssl("genrsa", "-out", _pem("service-account", "key"), "2048")
    tokens = []
    layout.KUBECONFIGS.mkdir(mode=0o700)
    for user, (name, groups) in _everybody().items():
        token = secrets.token_urlsafe(24)
        tokens.append(f'{token},"{name}","{name}","{",".join(groups)}"\n')
        write_kubeconfig(user, {"token": token})
    _private(layout.CERTIFICATES / "tokens.csv", "".join(tokens))


def write_kubeconfig(user: str, credentials: Mapping[str, str], cluster: Mapping[str, str] | None = None) -> None:
    """Let `user` log in with a token or a certificate, as a kubeconfig spells them; to this node when no cluster is named."""
    # The loopback address: Go and Python never send that through a proxy.
    here = {"server": f"https://127.0.0.1:{layout.API_PORT}", "certificate-authority": str(_pem("ca", "crt"))}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "modelyard", "cluster": dict(cluster or here)}],
        "users": [{"name": user, "user": dict(credentials)}],
        "contexts": [{"name": "modelyard", "context": {"cluster": "modelyard", "user": user}}],
        "current-context": "modelyard",
    }
    _private(layout.KUBECONFIGS / user, json.dumps(config, indent=1))  # JSON is YAML, and needs no library


def request(user: str) -> tuple[bytes, bytes]:
    """A new key, and a request for a certificate that says it is `user`'s; both PEM."""
    with tempfile.TemporaryDirectory() as folder:
        key, csr = pathlib.Path(folder, "key"), pathlib.Path(folder, "csr")
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", f"/CN={user}", "-out", csr)
        return key.read_bytes(), csr.read_bytes()


def _everybody() -> dict[str, tuple[str, tuple[str, ...]]]:
    return {user: (user, groups) for user, groups in layout.USERS.items()} | layout.COMPONENTS


def _sign(name: str, subject: str, extensions: str) -> None:
    extra = layout.CERTIFICATES / f"{name}.ext"
    extra.write_text(extensions)
    _openssl("req", *_key(name), "-subj", subject, "-out", _pem(name, "csr"))
    authority: list[str | pathlib.Path] = ["-CA", _pem("ca", "crt"), "-CAkey", _pem("ca", "key"), "-CAcreateserial"]
    _openssl("x509", "-req", "-in", _pem(name, "csr"), *authority, "-days", "3650", "-extfile", extra, "-out", _pem(name, "crt"))


def _key(name: str) -> list[str | pathlib.Path]:
    return ["-newkey", "rsa:2048", "-nodes", "-keyout", _pem(name, "key")]


def _pem(name: str, suffix: str) -> pathlib.Path:
    return layout.CERTIFICATES / f"{name}.{suffix}"


def _private(path: pathlib.Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _openssl(*arguments: str | pathlib.Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)

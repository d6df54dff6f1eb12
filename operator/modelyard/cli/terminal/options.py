"""Options that several verbs have."""

from __future__ import annotations

import pathlib
import re
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The Model.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="One of its versions, or @ALIAS.")]
Stage = Annotated[str, typer.Argument(metavar="STAGE", help="One of its stages.")]


def _namespace(typed: str | None) -> str | None:
    """Validate a namespace as Kubernetes does: it becomes part of paths and of keys."""
    if typed is not None and not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", typed):
        raise typer.BadParameter(f"{typed!a}: a namespace has lower-case letters, digits and dashes, at most 63 characters")
    return typed


Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NS", help="Namespace; else that of the kubeconfig's context.", callback=_namespace),
]
Context = Annotated[str | None, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig; else the current one.")]
Output = Annotated[str | None, typer.Option("--output", "-o", metavar="FORM", help="How to print: see above.")]
Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="How this machine reaches the store, such as a port-forward; else AWS_ENDPOINT_URL, else the Model's.",
    ),
]
CaFile = Annotated[
    pathlib.Path | None, typer.Option("--ca-file", metavar="FILE", help="PEM certificates to trust for the store; else AWS_CA_BUNDLE.")
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long --wait waits.")]
Many = list[str]
From = Annotated[
    pathlib.Path | None, typer.Option("--from", metavar="FOLDER", help="An exported ledger: no cluster and no network is needed.")
]
Bucket = Annotated[
    str | None,
    typer.Option("--bucket", metavar="URI", help="The operator's own bucket; else as `modelyard ledger --help` says."),
]
BucketEndpoint = Annotated[
    str | None, typer.Option("--endpoint", metavar="URL", help="How this machine reaches that bucket's store, such as a port-forward.")
]
RegistryName = Annotated[
    str | None, typer.Option("--registry", metavar="NAME", help="Of the ledger, where a bucket holds several; else the operator's.")
]
FromCluster = Annotated[
    bool, typer.Option("--credentials-from-cluster", help="Use the Model's Secret instead of the environment's credentials for its store.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, what it would do is only said.")]
Asked = Annotated[str, typer.Argument(metavar="PROMOTION", help="Name of the Promotion.")]
Gate = Annotated[
    str | None, typer.Option("--gate", metavar="G", help="One of the stage's gates.approvals; may be left out if there is only one.")
]
Comment = Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="Why.")]
Subject = Annotated[
    str | None,
    typer.Option("--subject", metavar="sha256:…", help="What was looked at, as printed before: refused if something else is asked now."),
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why: spec.lifecycleReason, and in the ledger.")]
Wait = Annotated[bool, typer.Option("--wait", help="Follow it to its end; exit 0 only if it succeeded.")]

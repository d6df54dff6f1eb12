"""The verbs that publish versions: push a version, attest later findings, and hash an artifact anywhere."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from modelyard.cli.terminal.options import CaFile, Context, Endpoint, FromCluster, Many, Model, Namespace, Output, Timeout, Version

publish_verbs = typer.Typer(rich_markup_mode=None)


@publish_verbs.command()
def push(
    source: Annotated[pathlib.Path, typer.Argument(metavar="DIR|FILE", help="The artifact: every file in a folder, or one file.")],
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="The Model.")],
    version: Annotated[str, typer.Option("--version", metavar="V", help="SemVer, or a plain number.")],
    namespace: Namespace = None,
    context: Context = None,
    model_file: Annotated[
        pathlib.Path | None, typer.Option("--model-file", metavar="FILE", help="The Model's manifest, where there is no cluster to ask.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="F",
            help="onnx, safetensors, gguf, torchscript, savedmodel, pickle, sklearn, mlflow or other; else told from the files' names.",
        ),
    ] = None,
    metric: Annotated[Many, typer.Option("--metric", metavar="K=V", help="A result, such as auc=0.934; repeat it.")] = [],  # noqa: B006
    param: Annotated[Many, typer.Option("--param", metavar="K=V", help="A hyperparameter; repeat it.")] = [],  # noqa: B006
    dataset: Annotated[
        Many,
        typer.Option(
            "--dataset", metavar="K=V,…", help="name=…,role=Training|Validation|Test|Reference[,uri=…][,digest=sha256:…]; repeat it."
        ),
    ] = [],  # noqa: B006
    parent: Annotated[
        Many,
        typer.Option(
            "--parent",
            metavar="V=REL",
            help="1.0.0=RetrainedFrom (or @ALIAS=…), or FineTunedFrom, DistilledFrom, QuantizedFrom, MergedFrom; repeat it.",
        ),
    ] = [],  # noqa: B006
    evidence: Annotated[
        Many,
        typer.Option(
            "--evidence",
            metavar="K=V,…",
            help="type=ValidationReport,file=report.html[,name=…][,title=…][,author=…][,issuedAt=2026-10-03], uploaded as well; "
            "or RiskAssessment, ModelCard, BiasReport, SecurityReview, Other; repeat it.",
        ),
    ] = [],  # noqa: B006
    framework: Annotated[str | None, typer.Option("--framework", metavar="NAME=V", help="What trained it, such as xgboost=2.1.1.")] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", metavar="ID", help="The run that trained it.")] = None,
    repository: Annotated[str | None, typer.Option("--repository", metavar="URL", help="The code that trained it; with --commit.")] = None,
    commit: Annotated[str | None, typer.Option("--commit", metavar="HASH", help="Its commit; with --repository.")] = None,
    image: Annotated[str | None, typer.Option("--image", metavar="IMAGE", help="The container image that trained it.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="The seed of the random numbers.")] = None,
    card: Annotated[
        pathlib.Path | None,
        typer.Option("--card", metavar="FILE", help="YAML or JSON with limitations, trainingDataSummary, …: spec.card."),
    ] = None,
    signature: Annotated[
        pathlib.Path | None, typer.Option("--signature", metavar="FILE", help="YAML or JSON with inputs and outputs: spec.signature.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="For people.")] = None,
    tag: Annotated[Many, typer.Option("--tag", metavar="K=V", help="Free text by key; repeat it.")] = [],  # noqa: B006
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    credentials_from_cluster: FromCluster = False,
    apply: Annotated[bool, typer.Option("--apply", help="Apply the manifest; it is tried (dry run) before anything is uploaded.")] = False,
    write: Annotated[pathlib.Path | None, typer.Option("--write", metavar="FILE", help="Write the manifest to a file, for Git.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="With --apply: wait until the version is Ready.")] = False,
    timeout: Timeout = 600,
    output: Output = None,
) -> None:
    """Upload an artifact and register it as a version.

    Hashes every file, uploads them below the Model's storage.uri, and prints the ModelVersion's manifest (-o yaml, the default, or json), unless
    --write or --apply says where it goes. What is stored already is never written over: what is the same byte for byte is left alone, anything
    else stops the push. Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.
    """
    from modelyard.cli.publish import manifest
    from modelyard.cli.publish import push as publish_push
    from modelyard.cli.reach import model_storage

    typed = manifest.Typed(
        model, version, format_, metric, param, dataset, parent, evidence, framework, run_id, commit, repository, image, seed, card, signature,
        description, tag,
    )  # fmt: skip
    to = model_storage.Way(endpoint, ca_file, credentials_from_cluster)
    publish_push.push(source, typed, publish_push.Way(namespace, context, model_file, to, apply, wait, timeout, write, output))


@publish_verbs.command()
def attest(
    model: Model,
    version: Version,
    metric: Annotated[Many, typer.Option("--metric", metavar="K=V", help="A result, such as auc=0.934; repeat it.")] = [],  # noqa: B006
    evidence: Annotated[
        pathlib.Path | None, typer.Option("--evidence", metavar="FILE", help="A document about the version, uploaded as well; with --type.")
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", metavar="T", help="ValidationReport, RiskAssessment, ModelCard, BiasReport, SecurityReview or Other."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Of the evidence, such as vr-17; else the file's.")] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Of the evidence, for people.")] = None,
    author: Annotated[str | None, typer.Option("--author", metavar="TEXT", help="Who wrote it.")] = None,
    issued_at: Annotated[str | None, typer.Option("--issued-at", metavar="TIME", help="When it was issued, such as 2026-10-03.")] = None,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    credentials_from_cluster: FromCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Add metrics, or a document, to a version.

    What is there never changes: the same again is fine, another value or other bytes under its name are refused. The document goes below the Model's
    storage.uri, as push puts it. Takes the verb attest. Forms: table (what was added, told on standard error, the default), json, yaml, name.
    """
    from modelyard.cli.publish import attest as publish_attest
    from modelyard.cli.reach import cluster, model_storage

    typed = publish_attest.Typed(metric, evidence, type_, name, title, author, issued_at)
    options = model_storage.Way(endpoint, ca_file, credentials_from_cluster)
    publish_attest.attest(cluster.Registry(context, namespace), model, version, typed, options, output)


@publish_verbs.command()
def verify(
    what: Annotated[
        str, typer.Argument(metavar="DIR|FILE|URI", help="A folder or file here, or s3://bucket/folder/ or s3://bucket/object.")
    ],
    digest: Annotated[str | None, typer.Option("--digest", metavar="sha256:…", help="What it should be; exit 3 if it is not.")] = None,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    output: Output = None,
) -> None:
    """Read every byte of an artifact, print its digest.

    No cluster is needed. Forms: table (the digest, the default), sums (the SHA256SUMS text whose sha256 is the digest), json, yaml.
    """
    from modelyard.cli.publish import verify as publish_verify

    publish_verify.verify(what, digest, output, endpoint, ca_file)

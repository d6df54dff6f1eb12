"""All verbs in one place: what each takes. What they do is loaded only when they are typed."""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NoReturn

import typer

from modelyard.cli import asks, outcome
from modelyard.cli.options import CaFile, Context, Endpoint, Many, Namespace, Output, Timeout

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help=f"A model registry that Kubernetes enforces.\n\n{outcome.EXPLAINED}",
)


@app.command()
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
            "--parent", metavar="V=REL", help="1.0.0=RetrainedFrom, or FineTunedFrom, DistilledFrom, QuantizedFrom, MergedFrom; repeat it."
        ),
    ] = [],  # noqa: B006
    evidence: Annotated[
        Many,
        typer.Option(
            "--evidence",
            metavar="K=V,…",
            help="type=ValidationReport,file=report.html[,name=…][,title=…][,author=…], uploaded as well; "
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
    credentials_from_cluster: Annotated[
        bool, typer.Option("--credentials-from-cluster", help="Upload with the Model's Secret instead of the environment's credentials.")
    ] = False,
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
    from modelyard.cli import manifest  # noqa: PLC0415
    from modelyard.cli import push as verb  # noqa: PLC0415

    typed = manifest.Typed(
        model, version, format_, metric, param, dataset, parent, evidence, framework, run_id, commit, repository, image, seed, card, signature,
        description, tag,
    )  # fmt: skip
    way = verb.Way(namespace, context, model_file, endpoint, ca_file, credentials_from_cluster, apply, wait, timeout, write, output)
    verb.push(source, typed, way)


@app.command("list")
def list_(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Of one model; else of every one.")] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="EXPR", help="Such as 'metrics.auc>0.9 and phase=Ready': FIELD OP VALUE, joined by `and`."),
    ] = None,
    stage: Annotated[str | None, typer.Option("--stage", metavar="S", help="Only what runs in, or stands for, this stage.")] = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of every namespace.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print versions, the highest first.

    Forms: table (the default), json, yaml, name. Fields of --where: metrics.KEY, params.KEY, tags.KEY, name, namespace, created, model, version,
    format, lifecycle, framework, runId, commit, seed, phase, digest, files, bytes, stage, dataset, parent, evidence; operators: = != < <= > >=.
    """
    from modelyard.cli import listing, registry  # noqa: PLC0415

    server = registry.Registry(context, namespace)
    listing.show(server, model, where, stage, output, _now(), everywhere=everywhere)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="MODEL|NAME", help="A Model, or the name of a ModelVersion.")],
    version: Annotated[str | None, typer.Argument(metavar="VERSION", help="A version of the model.")] = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print everything known about a version or a model.

    Forms: table (for people, the default), json, yaml, name.
    """
    from modelyard.cli import registry  # noqa: PLC0415
    from modelyard.cli import show as verb  # noqa: PLC0415

    verb.show(registry.Registry(context, namespace), name, version, output, _now())


@app.command()
def promote(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The Model.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="One of its versions.")],
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="One of its stages.")],
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, with a ticket's number at best.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Back to a version that has succeeded in the stage before.")] = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of the Promotion; else MODEL-VERSION-STAGE. A name runs once.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end; exit 0 only if it succeeded.")] = False,
    timeout: Timeout = 3600,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Ask for a version to be brought to a stage.

    Creates a Promotion. Forms: table (what happens, told on standard error, the default), json, yaml, name.
    """
    from modelyard.cli import promote as verb  # noqa: PLC0415
    from modelyard.cli import registry  # noqa: PLC0415

    server = registry.Registry(context, namespace)
    verb.promote(server, model, version, stage, reason=reason, rollback=rollback, name=name, wait=wait, timeout=timeout, asked=output)


Asked = Annotated[str, typer.Argument(metavar="PROMOTION", help="Name of the Promotion.")]
Gate = Annotated[
    str | None, typer.Option("--gate", metavar="G", help="One of the stage's gates.approvals; may be left out if there is only one.")
]
Comment = Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="Why.")]
Subject = Annotated[
    str | None,
    typer.Option("--subject", metavar="sha256:…", help="What was looked at, as printed before: refused if something else is asked now."),
]


@app.command()
def approve(
    promotion: Asked,
    gate: Gate = None,
    comment: Comment = None,
    subject: Subject = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Say yes to what a promotion asks, in one's own name.

    Counts while bytes, metadata, gates and template stay as they are. Forms: table (what was written, told on standard error, the default), json,
    yaml, name.
    """
    _decide("Approved", promotion, gate, comment, subject, namespace, context, output)


@app.command()
def reject(
    promotion: Asked,
    gate: Gate = None,
    comment: Comment = None,
    subject: Subject = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Say no to what a promotion asks: it ends as Rejected.

    Forms: as approve.
    """
    _decide("Rejected", promotion, gate, comment, subject, namespace, context, output)


@app.command()
def withdraw(
    promotion: Asked,
    gate: Gate = None,
    comment: Comment = None,
    subject: Subject = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Take one's own approval back, before the stage is granted.

    Forms: as approve.
    """
    _decide("Withdrawn", promotion, gate, comment, subject, namespace, context, output)


def _decide(
    decision: str,
    promotion: str,
    gate: str | None,
    comment: str | None,
    subject: str | None,
    namespace: str | None,
    context: str | None,
    output: str | None,
) -> None:
    from modelyard.api.promotion import Decision  # noqa: PLC0415
    from modelyard.cli import approve as verb  # noqa: PLC0415
    from modelyard.cli import registry  # noqa: PLC0415

    server = registry.Registry(context, namespace)
    verb.decide(server, promotion, Decision(decision), gate=gate, comment=comment, subject=subject, asked=output)


Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why: spec.lifecycleReason, and in the ledger.")]


@app.command()
def deprecate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The Model.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="One of its versions.")],
    reason: Reason = None,
    undo: Annotated[bool, typer.Option("--undo", help="Make it Active again.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Promote nothing new of a version.

    What serves, serves on, under a warning. Forms: table (the default), json, yaml, name.
    """
    from modelyard.cli import registry  # noqa: PLC0415
    from modelyard.cli import retire as verb  # noqa: PLC0415

    verb.deprecate(registry.Registry(context, namespace), model, version, reason=reason, undo=undo, asked=output)


@app.command()
def retire(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The Model.")],
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="One of its versions; else the Model with all it serves.")
    ] = None,
    reason: Reason = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, what it would do is only said.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Retire a version, or a model and all it serves.

    Retired is final. A version that is in use is not retired: promote another one in its place first. Forms: table (the default), json, yaml, name.
    """
    from modelyard.cli import registry  # noqa: PLC0415
    from modelyard.cli import retire as verb  # noqa: PLC0415

    verb.retire(registry.Registry(context, namespace), model, version, reason=reason, yes=yes, asked=output)


@app.command()
def gc(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Of one model; else of every one of the namespace.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Record and delete what is free; without, it is only listed.")] = False,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    credentials_from_cluster: Annotated[
        bool, typer.Option("--credentials-from-cluster", help="Use the Model's Secret instead of the environment's credentials.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """List, or delete, what only Retired versions hold.

    Object versions that no other version refers to, below the Model's storage.uri. What Object Lock or a legal hold keeps is listed and left alone.
    Needs the operator's bucket as the operator has it: MODELYARD_BUCKET__URI, __ENDPOINT, __ACCESS_KEY, __SECRET_KEY, and MODELYARD_LEDGER__REGISTRY; and
    for the Model's store AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Forms: table (the default), json, yaml.
    """
    from modelyard.cli import bucket, registry  # noqa: PLC0415
    from modelyard.cli import gc as verb  # noqa: PLC0415

    way = verb.Way(delete, endpoint, ca_file, credentials_from_cluster, output)
    verb.gc(registry.Registry(context, namespace), bucket.Bucket.open(), model, way)


@app.command()
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
    from modelyard.cli import verify as verb  # noqa: PLC0415

    verb.verify(what, digest, output, endpoint, ca_file)


@app.command()
def operator() -> None:
    """Run the operator.

    Its settings come from the environment (MODELYARD_…).
    """
    from modelyard.cli import operate  # noqa: PLC0415  loads the informer, which no other verb needs

    raise typer.Exit(operate.operate())


@app.command()
def fetch() -> None:
    """In a pod: download an artifact, verify every byte.

    Fails closed. Its settings come from the environment (MODELYARD_…).
    """
    from modelyard.cli import fetch as verb  # noqa: PLC0415

    raise typer.Exit(verb.main())


app.add_typer(asks.app)
app.add_typer(asks.ledger, name="ledger")


def manual() -> str:
    """The help of every verb, as `modelyard --help` and `modelyard VERB --help` print it on a terminal 120 columns wide."""
    command = typer.main.get_group(app)
    pages = []
    for verb in _verbs(command):
        arguments = [*verb, "--help"]
        page = io.StringIO()
        with contextlib.redirect_stdout(page):
            command.main(arguments, prog_name="modelyard", standalone_mode=False, terminal_width=120)
        pages.append(f"$ {' '.join(['modelyard', *arguments])}\n{page.getvalue().strip()}\n")
    return "\n".join(pages)


def _verbs(group: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """A group of commands, and each of them, as they are typed."""
    yield above
    for name, command in getattr(group, "commands", {}).items():
        yield from _verbs(command, (*above, name))


def run(typed: Sequence[str] | None = None) -> NoReturn:
    """Run the verb that was typed, by default on this process's command line, and exit with its code."""
    arguments = sys.argv[1:] if typed is None else list(typed)
    called = "kubectl modelyard" if pathlib.Path(sys.argv[0]).name.startswith("kubectl") else "modelyard"
    try:
        app(arguments, prog_name=called)
    except outcome.Stop as stop:
        from modelyard.cli import output  # noqa: PLC0415

        output.say(f"{called} {next(iter(arguments), '')}: {stop.message}")
        sys.exit(stop.code)
    except KeyboardInterrupt:
        sys.exit(outcome.Code.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not find that out again while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(outcome.Code.DONE)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)

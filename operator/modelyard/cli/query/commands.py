"""The verbs that ask: what there is, what stands where, what served when, and where it came from."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer

from modelyard.cli.terminal import times
from modelyard.cli.terminal.options import Bucket, BucketEndpoint, CaFile, Context, From, Model, Namespace, Output, RegistryName

query_verbs = typer.Typer(rich_markup_mode=None)


@query_verbs.command("list")
def list_(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Of one model; else of every one.")] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="EXPR", help="Such as 'metrics.auc>0.9 and phase=Ready': FIELD OP VALUE, joined by `and`."),
    ] = None,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="S", help="Only what runs in this stage or is its current version.")
    ] = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of every namespace.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print versions, the highest first.

    Forms: table (the default), json, yaml, name. Fields of --where: metrics.KEY, params.KEY, tags.KEY, name, namespace, created, model, version,
    format, lifecycle, framework, runId, commit, seed, phase, digest, files, bytes, stage, dataset, parent, evidence; operators: = != < <= > >=.
    """
    from modelyard.cli.query import listing
    from modelyard.cli.reach import cluster

    server = cluster.Registry(context, namespace)
    listing.show(server, model, where, stage, output, times.now(), everywhere=everywhere)


@query_verbs.command()
def show(
    name: Annotated[str, typer.Argument(metavar="MODEL|NAME", help="A Model, or the name of a ModelVersion.")],
    version: Annotated[str | None, typer.Argument(metavar="VERSION", help="A version of the model, or @ALIAS.")] = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print everything known about a version or a model.

    Forms: table (for people, the default), json, yaml, name.
    """
    from modelyard.cli.query import show as query_show
    from modelyard.cli.reach import cluster

    query_show.show(cluster.Registry(context, namespace), name, version, output, times.now())


@query_verbs.command()
def status(
    model: Model,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print what stands where, and what waits for whom.

    Forms: table (for people, the default), json, yaml.
    """
    from modelyard.cli.query import status as query_status
    from modelyard.cli.reach import cluster

    query_status.status(cluster.Registry(context, namespace), model, output, times.now())


@query_verbs.command()
def diff(
    model: Model,
    before: Annotated[str, typer.Argument(metavar="VERSION", help="One version, or @ALIAS.")],
    after: Annotated[str, typer.Argument(metavar="VERSION", help="The other, or @ALIAS.")],
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: BucketEndpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print what differs between two versions.

    Parameters, metrics, data, evidence, and files; from the ledger, or, without the files, from the cluster. Forms: table (the default), json, yaml.
    """
    from modelyard.cli.query import diff as query_diff
    from modelyard.cli.reach import ledger_source

    query_diff.diff(ledger_source.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file), model, before, after, output)


@query_verbs.command()
def history(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The Model; _operator tells who led when.")],
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="Only from then on.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only up to then.")] = None,
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: BucketEndpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print what happened to a model, the newest last.

    Who, what and why, from the ledger, and when nobody watched. Times: 2026-10-03T14:03:00Z, 2026-10-03 14:03 (UTC), 2026-10-03, now. Forms: table
    (the default), json, yaml.
    """
    from modelyard.cli.query import history as query_history
    from modelyard.cli.reach import ledger_source

    query_history.history(
        ledger_source.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file), model, since, until, output, times.now()
    )


@query_verbs.command()
def explain(
    model: Model,
    stage: Annotated[str | None, typer.Option("--stage", metavar="S", help="Only this stage.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="The instant; else now, or with --version or --digest all time.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="V", help="Only this version, or @ALIAS as it was at TIME: where and when it served.")
    ] = None,
    digest: Annotated[str | None, typer.Option("--digest", metavar="sha256:…", help="Only what has this artifact.")] = None,
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: BucketEndpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print what served at an instant, and where it came from.

    Versions with weights, digest, training source, parameters, data, metrics, evidence, who registered, asked and approved, which gates held; and
    when nobody watched. Read from the ledger; `ledger verify` proves that it is what it was. Forms: table (for people, the default), json, yaml.
    """
    from modelyard.cli.query import explain as query_explain
    from modelyard.cli.reach import ledger_source

    typed = ledger_source.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file)
    query_explain.explain(typed, model, stage=stage, at=at, version=version, digest=digest, asked=output, now=times.now())


class _Literal(typer.core.TyperCommand):
    """A command that knows whether `--` was typed: the words behind it are names, whatever they look like."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As ever; `--` is noted first."""
        ctx.meta["literal"] = "--" in args
        return super().parse_args(ctx, args)


@query_verbs.command(cls=_Literal)
def dossier(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL|verify", help="The Model; or `verify`, to check a dossier.")],
    version: Annotated[
        str, typer.Argument(metavar="VERSION|FILE", help="One of its versions, or @ALIAS; or the dossier's file, JSON or HTML.")
    ],
    to: Annotated[pathlib.Path, typer.Option("--to", metavar="DIR", help="Where to write MODEL-VERSION.json and .html.")] = pathlib.Path(),
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: BucketEndpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Write a version's compliance file, or check one.

    `dossier MODEL VERSION` writes JSON and one self-contained HTML page; -o json or html prints one of them. Every field is verified, declared or
    missing, and follows from ledger records inside the file. `dossier verify FILE` checks that offline; with --from or --bucket also that the ledger
    holds these records. Of a model that is named `verify`, write `dossier -- verify VERSION`.
    """
    from modelyard.cli.query import dossier as query_dossier
    from modelyard.cli.reach import ledger_source

    typed = ledger_source.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file)
    if model == "verify" and not ctx.meta["literal"]:
        query_dossier.verify(pathlib.Path(version), typed, output)
    else:
        query_dossier.dossier(typed, model, version, to, output, times.now())

"""The verbs that ask: what stands where, what served when, where it came from, and whether the ledger is what it was."""

from __future__ import annotations

import datetime
import pathlib
from typing import Annotated

import typer

from modelyard.cli import outcome
from modelyard.cli.options import Bucket, CaFile, Context, Endpoint, From, Many, Namespace, Output, RegistryName

app = typer.Typer(rich_markup_mode=None)
ledger = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Verify, export, or accept the ledger.")


@app.command()
def status(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The Model.")],
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print what stands where, and what waits for whom.

    Forms: table (for people, the default), json, yaml.
    """
    from modelyard.cli import registry  # noqa: PLC0415
    from modelyard.cli import status as verb  # noqa: PLC0415

    verb.status(registry.Registry(context, namespace), model, output, _now())


@app.command()
def restore(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="The Model whose recorded spec is put back.")] = None,
    take_over: Annotated[bool, typer.Option("--take-over", help="The registry belongs to this cluster from now on.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, what it would do is only said.")] = False,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Put back what an older backup lacks, or take over a registry.

    What the cluster lost, the operator brings back from the ledger by itself. A Model that an older backup made older is held as Behind
    until its newer spec is applied again: this writes the recorded one, as you. --take-over lets another cluster's operator lead the registry.
    """
    from modelyard.cli import archives  # noqa: PLC0415
    from modelyard.cli import restore as verb  # noqa: PLC0415

    typed = archives.Typed(namespace, context, None, bucket, registry, endpoint, ca_file)
    if take_over == (model is not None):
        raise outcome.usage("give a MODEL to put back, or --take-over")
    if model:
        verb.model(typed, model, yes=yes)
    else:
        verb.take_over(typed, _now(), yes=yes)


@app.command()
def diff(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The Model.")],
    before: Annotated[str, typer.Argument(metavar="VERSION", help="One version.")],
    after: Annotated[str, typer.Argument(metavar="VERSION", help="The other.")],
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print what differs between two versions.

    Parameters, metrics, data, evidence, and files; from the ledger, or, without the files, from the cluster. Forms: table (the default), json, yaml.
    """
    from modelyard.cli import archives  # noqa: PLC0415
    from modelyard.cli import diff as verb  # noqa: PLC0415

    verb.diff(archives.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file), model, before, after, output)


@app.command()
def history(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The Model; _operator tells who led when.")],
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="Only from then on.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only up to then.")] = None,
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print what happened to a model, the newest last.

    Who, what and why, from the ledger, and when nobody watched. Times: 2026-10-03T14:03:00Z, 2026-10-03 14:03 (UTC), 2026-10-03, now. Forms: table
    (the default), json, yaml.
    """
    from modelyard.cli import archives  # noqa: PLC0415
    from modelyard.cli import history as verb  # noqa: PLC0415

    verb.history(archives.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file), model, since, until, output, _now())


@app.command()
def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The Model.")],
    stage: Annotated[str | None, typer.Option("--stage", metavar="S", help="Only this stage.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="The instant; else now, or with --version or --digest all time.")
    ] = None,
    version: Annotated[str | None, typer.Option("--version", metavar="V", help="Only this version: where and when it served.")] = None,
    digest: Annotated[str | None, typer.Option("--digest", metavar="sha256:…", help="Only what has this artifact.")] = None,
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Print what served at an instant, and where it came from.

    Versions with weights, digest, training source, parameters, data, metrics, evidence, who registered, asked and approved, which gates held; and
    when nobody watched. Read from the ledger; `ledger verify` proves that it is what it was. Forms: table (for people, the default), json, yaml.
    """
    from modelyard.cli import archives  # noqa: PLC0415
    from modelyard.cli import explain as verb  # noqa: PLC0415

    typed = archives.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file)
    verb.explain(typed, model, stage=stage, at=at, version=version, digest=digest, asked=output, now=_now())


@app.command()
def dossier(
    model: Annotated[str, typer.Argument(metavar="MODEL|verify", help="The Model; or `verify`, to check a dossier.")],
    version: Annotated[str, typer.Argument(metavar="VERSION|FILE", help="One of its versions; or the dossier's file, JSON or HTML.")],
    to: Annotated[pathlib.Path, typer.Option("--to", metavar="DIR", help="Where to write MODEL-VERSION.json and .html.")] = pathlib.Path(),
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Write a version's compliance file, or check one.

    `dossier MODEL VERSION` writes JSON and one self-contained HTML page; -o json or html prints one of them. Every field is verified, declared or
    missing, and follows from ledger records inside the file. `dossier verify FILE` checks that offline; with --from or --bucket also that the ledger
    holds these records.
    """
    from modelyard.cli import archives  # noqa: PLC0415
    from modelyard.cli import dossier as verb  # noqa: PLC0415

    typed = archives.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file)
    if model == "verify":
        verb.verify(pathlib.Path(version), typed, output)
    else:
        verb.dossier(typed, model, version, to, output, _now())


@ledger.command("verify")
def ledger_verify(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Of one model, or _operator; else of every one.")] = None,
    public_key: Annotated[
        pathlib.Path | None,
        typer.Option("--public-key", metavar="FILE", help="PEM of the key that signs checkpoints; else a folder's own."),
    ] = None,
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Read every record, and say what was changed, deleted or cut off.

    Compared with the anchors that the cluster or the exported folder has, signed checkpoints, and the bucket's object versions. Forms: table (the
    default), json, yaml.
    """
    from modelyard.cli import archives  # noqa: PLC0415
    from modelyard.cli import ledgers as verb  # noqa: PLC0415

    verb.verify(archives.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file), model, public_key, output)


@ledger.command("export")
def ledger_export(
    models: Annotated[Many, typer.Argument(metavar="MODEL… DIR", help="The Models, and a new folder for them.")],
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Copy models' records, and what they name, into a folder.

    What `--from FOLDER` of the other verbs reads, without a cluster and without a network.
    """
    from modelyard.cli import archives  # noqa: PLC0415
    from modelyard.cli import ledgers as verb  # noqa: PLC0415

    *names, target = models
    if not names:
        raise outcome.usage("give at least one model, and the folder last")
    verb.export(archives.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file), names, pathlib.Path(target))


@ledger.command("accept")
def ledger_accept(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The Model, or _operator.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What is known of it; recorded for ever.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only what would be accepted is told.")] = False,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Record that a person knows what is wrong with a ledger.

    The operator then goes on with the model. Needs to write to the operator's own bucket; the record names you as the API server knows you.
    """
    from modelyard.cli import archives  # noqa: PLC0415
    from modelyard.cli import ledgers as verb  # noqa: PLC0415

    verb.accept(archives.Typed(namespace, context, None, bucket, registry, endpoint, ca_file), model, reason, _now(), yes=yes)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)

"""The verbs that maintain a registry: its ledger, restoring after an older backup, and garbage collection."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from modelyard.cli.terminal import exits, times
from modelyard.cli.terminal.options import (
    Bucket,
    BucketEndpoint,
    CaFile,
    Context,
    Endpoint,
    From,
    FromCluster,
    Many,
    Namespace,
    Output,
    RegistryName,
    Yes,
)

_LEDGER = """Verify, export, or accept the ledger.

The ledger is in the operator's own bucket. Where that is, say --bucket and --registry, else MODELYARD_BUCKET__URI and MODELYARD_LEDGER__REGISTRY, else
the operator's Deployment in the namespace modelyard-system (or MODELYARD_OPERATOR_NAMESPACE). How it is reached: --endpoint, else
MODELYARD_BUCKET__ENDPOINT, else AWS_ENDPOINT_URL; --ca-file, else MODELYARD_BUCKET__CA_FILE, else AWS_CA_BUNDLE. As whom:
MODELYARD_BUCKET__ACCESS_KEY and MODELYARD_BUCKET__SECRET_KEY, else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. It is the same for every verb that asks
or adds to the ledger: diff, history, explain, dossier, restore, gc.
"""

maintain_verbs = typer.Typer(rich_markup_mode=None)
ledger = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=_LEDGER)
maintain_verbs.add_typer(ledger, name="ledger")


@maintain_verbs.command()
def restore(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="The Model whose recorded specs are put back.")] = None,
    take_over: Annotated[bool, typer.Option("--take-over", help="The registry belongs to this cluster from now on.")] = False,
    yes: Yes = False,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: BucketEndpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Put back what an older backup lacks, or take over a registry.

    What the cluster lost, the operator brings back from the ledger by itself. A Model that an older backup made older, or a version of it,
    is held as Behind until the newer spec is applied again: this writes the recorded ones, as you. A version that was applied again
    without metrics or evidence that it had is Reused: this adds them, as you. --take-over makes the registry this
    cluster's: its operator leads, and that of the cluster which had it stops.
    """
    from modelyard.cli.maintain import restore as maintain_restore
    from modelyard.cli.reach import ledger_source

    typed = ledger_source.Typed(namespace, context, None, bucket, registry, endpoint, ca_file)
    if take_over == (model is not None):
        raise exits.usage("give a MODEL to put back, or --take-over")
    if model:
        maintain_restore.model(typed, model, yes=yes)
    else:
        maintain_restore.take_over(typed, times.now(), yes=yes)


@maintain_verbs.command()
def gc(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Of one model; else of every one of the namespace.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Record and delete what is free; without, it is only listed.")] = False,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: Endpoint = None,
    ca_file: CaFile = None,
    credentials_from_cluster: FromCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """List, or delete, what only Retired versions hold.

    Object versions that no other version refers to, below the Model's storage.uri. What Object Lock or a legal hold keeps is listed and left alone.
    --delete takes the right to list models and modelversions in every namespace, such as a ClusterRoleBinding of modelyard-viewer gives.
    --endpoint, --ca-file and the credentials of AWS_ACCESS_KEY_ID are for the Model's store; how the operator's own bucket is reached says
    `modelyard ledger --help`. Forms: table (the default), json, yaml.
    """
    from modelyard.cli.maintain import gc as maintain_gc
    from modelyard.cli.reach import cluster, ledger_writer, model_storage, operator_bucket

    own_bucket = operator_bucket.find(context, bucket, registry, None, None)
    options = maintain_gc.Way(delete, model_storage.Way(endpoint, ca_file, credentials_from_cluster), output, own_bucket.place)
    opened = ledger_writer.Bucket.open(own_bucket, context)
    maintain_gc.gc(cluster.Registry(context, namespace), opened, model, options)


@ledger.command("verify")
def ledger_verify(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Of one model, or _operator; else of every one.")] = None,
    public_key: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--public-key", metavar="FILE", help="PEM of the keys that records are believed from; else the cluster's, or a folder's own."
        ),
    ] = None,
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: BucketEndpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Read every record, and say what was changed, deleted or cut off.

    Compared with the anchors that the cluster or the exported folder has, signatures, signed checkpoints, and the bucket's object versions. Without
    a key from elsewhere, the keys that the registry itself has only show who signed what. Forms: table (the default), json, yaml.
    """
    from modelyard.cli.maintain.ledger import verify
    from modelyard.cli.reach import ledger_source

    verify(ledger_source.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file), model, public_key, output)


@ledger.command("export")
def ledger_export(
    models: Annotated[Many, typer.Argument(metavar="MODEL… DIR", help="The Models, and a new folder for them.")],
    folder: From = None,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: BucketEndpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Copy models' records, and what they name, into a folder.

    What `--from FOLDER` of the other verbs reads, without a cluster and without a network. Forms: table (the folder, the default), json, yaml.
    """
    from modelyard.cli.maintain.ledger import export
    from modelyard.cli.reach import ledger_source

    *names, target = models
    if not names:
        raise exits.usage("give at least one model, and the folder last")
    export(ledger_source.Typed(namespace, context, folder, bucket, registry, endpoint, ca_file), names, pathlib.Path(target), output)


@ledger.command("accept")
def ledger_accept(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The Model, or _operator.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What is known of it; recorded for ever.")],
    believe: Annotated[
        bool | None, typer.Option("--believe/--discard", help="What Unproven records are: ours, or somebody else's.", show_default=False)
    ] = None,
    yes: Yes = False,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: BucketEndpoint = None,
    ca_file: CaFile = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Record that a person knows what is wrong with a ledger.

    The operator then goes on with the model. Needs to write to the operator's own bucket, and the key that signs records (MODELYARD_LEDGER__KEY_FILE,
    else the operator's Secret); the record names you as the API server knows you. Where records are Unproven, --believe makes them count (they are
    older than signing, or their key was lost) and --discard makes them mean nothing (somebody else wrote them). Forms: table (what was recorded, told on
    standard error, the default), json, yaml.
    """
    from modelyard.cli.maintain.ledger import Acceptance, accept
    from modelyard.cli.reach import ledger_source

    accept(
        ledger_source.Typed(namespace, context, None, bucket, registry, endpoint, ca_file),
        model,
        Acceptance(reason, believe, yes=yes),
        times.now(),
        output,
    )


@ledger.command("trust")
def ledger_trust(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A PEM file with a public key, or the id of one that the registry has.")],
    yes: Yes = False,
    bucket: Bucket = None,
    registry: RegistryName = None,
    endpoint: BucketEndpoint = None,
    ca_file: CaFile = None,
    context: Context = None,
) -> None:
    """Have the operator believe records that another key signed.

    For a registry that moves to another cluster, or whose key was lost: compare the id with one that you noted from the cluster that had it
    (`modelyard ledger verify -o json` prints it). Adds the key to the operator's Secret, as you.
    """
    from modelyard.cli.maintain.ledger import trust
    from modelyard.cli.reach import ledger_source

    trust(ledger_source.Typed(None, context, None, bucket, registry, endpoint, ca_file), key, yes=yes)

"""The verbs that decide: ask for a stage, say yes or no, go back, and end a version or a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from modelyard.cli.terminal import times
from modelyard.cli.terminal.options import (
    Asked,
    Comment,
    Context,
    Gate,
    Model,
    Namespace,
    Output,
    Reason,
    Stage,
    Subject,
    Timeout,
    Version,
    Wait,
    Yes,
)

decide_verbs = typer.Typer(rich_markup_mode=None)


@decide_verbs.command()
def promote(
    model: Model,
    version: Version,
    stage: Stage,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, with a ticket's number at best.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of the Promotion; else MODEL-VERSION-STAGE. A name runs once.")
    ] = None,
    wait: Wait = False,
    timeout: Timeout = 3600,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Ask for a version to be brought to a stage.

    Creates a Promotion. Forms: table (what happens, told on standard error, the default), json, yaml, name.
    """
    from modelyard.cli.decide import promote as decide_promote
    from modelyard.cli.reach import cluster

    server = cluster.Registry(context, namespace)
    decide_promote.promote(server, model, version, stage, reason=reason, name=name, wait=wait, timeout=timeout, asked=output)


@decide_verbs.command()
def rollback(
    model: Model,
    stage: Stage,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, with a ticket's number at best.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="A version that has succeeded there, or @ALIAS; else the one before.")
    ] = None,
    wait: Wait = False,
    timeout: Timeout = 3600,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Bring a stage back to a version that has succeeded there.

    Creates a Promotion with rollback: true, of a new name each time. It passes gates, approvals and freezes, but no version that is not verified, or
    is Retired; and the stage's autoPromote rests until a person promotes again. Forms: table (what happens, told on standard error, the default),
    json, yaml, name.
    """
    from modelyard.cli.decide import rollback as decide_rollback
    from modelyard.cli.reach import cluster

    server = cluster.Registry(context, namespace)
    decide_rollback.rollback(server, model, stage, to, times.now(), reason=reason, wait=wait, timeout=timeout, asked=output)


def _says(decision: str) -> Callable[..., None]:
    def says(
        promotion: Asked,
        gate: Gate = None,
        comment: Comment = None,
        subject: Subject = None,
        namespace: Namespace = None,
        context: Context = None,
        output: Output = None,
    ) -> None:
        from modelyard.api.promotion import Decision
        from modelyard.cli.decide import approve
        from modelyard.cli.reach import cluster

        server = cluster.Registry(context, namespace)
        approve.decide(server, promotion, Decision(decision), gate=gate, comment=comment, subject=subject, asked=output)

    return says


decide_verbs.command(
    "approve",
    help="""Say yes to what a promotion asks, in one's own name.

    Counts while bytes, metadata, gates and template stay as they are. Forms: table (what was written, told on standard error, the default), json,
    yaml, name.
    """,
)(_says("Approved"))
decide_verbs.command(
    "reject",
    help="""Say no to what a promotion asks: it ends as Rejected.

    Forms: as approve.
    """,
)(_says("Rejected"))
decide_verbs.command(
    "withdraw",
    help="""Take one's own approval back, before the stage is granted.

    Forms: as approve.
    """,
)(_says("Withdrawn"))


@decide_verbs.command()
def abort(
    promotion: Asked,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end; exit 0 only if it was Aborted.")] = False,
    timeout: Timeout = 3600,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """End a promotion on its way: its stage goes back to its current version.

    At once, while the ledger is away as well. Final: to try again, promote again. Forms: table (what was written, told on standard error, the
    default), json, yaml, name.
    """
    from modelyard.cli.decide import steer
    from modelyard.cli.reach import cluster

    steer.steer(cluster.Registry(context, namespace), promotion, steer.ABORT, wait=wait, timeout=timeout, asked=output)


@decide_verbs.command()
def pause(promotion: Asked, namespace: Namespace = None, context: Context = None, output: Output = None) -> None:
    """Stop a promotion where it is, until it is resumed or aborted.

    Its progressDeadline begins anew when it goes on. Forms: as abort.
    """
    from modelyard.cli.decide import steer
    from modelyard.cli.reach import cluster

    steer.steer(cluster.Registry(context, namespace), promotion, steer.PAUSE, asked=output)


@decide_verbs.command()
def resume(promotion: Asked, namespace: Namespace = None, context: Context = None, output: Output = None) -> None:
    """Let a paused promotion go on.

    Forms: as abort.
    """
    from modelyard.cli.decide import steer
    from modelyard.cli.reach import cluster

    steer.steer(cluster.Registry(context, namespace), promotion, steer.RESUME, asked=output)


@decide_verbs.command()
def deprecate(
    model: Model,
    version: Version,
    reason: Reason = None,
    undo: Annotated[bool, typer.Option("--undo", help="Make it Active again.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Promote nothing new of a version.

    What serves, serves on, under a warning. Forms: table (the default), json, yaml, name.
    """
    from modelyard.cli.decide import retire as decide_retire
    from modelyard.cli.reach import cluster

    decide_retire.deprecate(cluster.Registry(context, namespace), model, version, reason=reason, undo=undo, asked=output)


@decide_verbs.command()
def retire(
    model: Model,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="One of its versions, or @ALIAS; else the Model with all it serves.")
    ] = None,
    reason: Reason = None,
    yes: Yes = False,
    namespace: Namespace = None,
    context: Context = None,
    output: Output = None,
) -> None:
    """Retire a version, or a model and all it serves.

    Retired is final. A version that is in use is not retired: promote another one in its place first. Forms: table (the default), json, yaml, name.
    """
    from modelyard.cli.decide import retire as decide_retire
    from modelyard.cli.reach import cluster

    decide_retire.retire(cluster.Registry(context, namespace), model, version, reason=reason, yes=yes, asked=output)

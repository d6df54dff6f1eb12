"""The verbs that containers run."""

from __future__ import annotations

import typer

container_verbs = typer.Typer(rich_markup_mode=None)


@container_verbs.command()
def operator() -> None:
    """Run the operator.

    Its settings come from the environment (MODELYARD_…).
    """
    from modelyard.cli.container.operator import operate

    raise typer.Exit(operate())


@container_verbs.command()
def fetch() -> None:
    """In a pod: download an artifact, verify every byte.

    Fails closed. Its settings come from the environment (MODELYARD_…).
    """
    from modelyard.cli.container.fetch import main

    raise typer.Exit(main())

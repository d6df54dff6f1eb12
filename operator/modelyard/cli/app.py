"""All verbs in one place."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="A model registry that Kubernetes enforces.")


@app.command()
def operator() -> None:
    """Run the operator; its settings come from the environment (MODELYARD_…)."""
    from modelyard.cli import operate  # noqa: PLC0415  loads the informer, which no other verb needs

    raise typer.Exit(operate.operate())


@app.command()
def fetch() -> None:
    """In a pod: download a version's artifact, verify every byte, fail closed; its settings come from the environment."""
    from modelyard.cli import fetch as verb  # noqa: PLC0415

    raise typer.Exit(verb.main())


def run() -> None:
    """Run the verb that was typed."""
    app()

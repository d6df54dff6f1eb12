"""All verbs. Five modules declare their options; a verb's implementation is loaded only when the verb runs."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import typer

from modelyard.cli.container.commands import container_verbs
from modelyard.cli.decide.commands import decide_verbs
from modelyard.cli.maintain.commands import maintain_verbs
from modelyard.cli.publish.commands import publish_verbs
from modelyard.cli.query.commands import query_verbs
from modelyard.cli.terminal import exits

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help=f"A model registry that Kubernetes enforces.\n\n{exits.EXPLAINED}",
)


for part in (publish_verbs, query_verbs, decide_verbs, maintain_verbs, container_verbs):
    app.add_typer(part)


def manual() -> str:
    """Return the help of every verb, as `modelyard --help` and `modelyard VERB --help` print it on a terminal 120 columns wide."""
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
    """Yield the words of a group of commands and of each command in it."""
    yield above
    for name, command in getattr(group, "commands", {}).items():
        yield from _verbs(command, (*above, name))


def run(typed: Sequence[str] | None = None) -> NoReturn:
    """Run the typed verb, by default this process's command line, and exit with its code."""
    arguments = sys.argv[1:] if typed is None else list(typed)
    called = "kubectl modelyard" if pathlib.Path(sys.argv[0]).name.startswith("kubectl") else "modelyard"
    _streams()
    try:
        app(arguments, prog_name=called)
    except exits.Stop as stop:
        from modelyard.cli.terminal import output  # noqa: PLC0415

        output.say(f"{called} {next(iter(arguments), '')}: {stop.message}")
        sys.exit(stop.code)
    except KeyboardInterrupt:
        sys.exit(exits.Code.INTERRUPTED)
    sys.exit(exits.Code.DONE)


def _streams() -> None:
    """Make limited encodings and closed outputs no failure."""
    if sys.stdout is None:
        sys.stdout = io.StringIO()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="modelyard")


def _spelt(error: UnicodeError) -> tuple[str, int]:
    """Escape characters that cannot be encoded as JSON does, so that JSON stays JSON."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error("modelyard", _spelt)

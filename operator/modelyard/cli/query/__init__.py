"""Verbs that ask: list, show, status, diff, history, explain, dossier."""

from modelyard.cli.query.commands import app

__all__ = ["app"]

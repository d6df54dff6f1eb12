"""Verbs that keep a registry: restore, gc, and the ledger's."""

from modelyard.cli.maintain.commands import app

__all__ = ["app"]

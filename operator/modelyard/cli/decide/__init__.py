"""Verbs that decide: promote, approve, reject, withdraw, rollback, abort, pause, resume, deprecate, retire."""

from modelyard.cli.decide.commands import app

__all__ = ["app"]

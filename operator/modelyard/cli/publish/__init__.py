"""Verbs that register: push, attest, verify, and the manifests and documents that they write."""

from modelyard.cli.publish.commands import app

__all__ = ["app"]

"""What containers run: the operator, and the fetching of a pod's artifact."""

from modelyard.cli.container.commands import app

__all__ = ["app"]

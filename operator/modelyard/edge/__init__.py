"""The outside world: one package per outside system, and the one exception that they raise."""

from __future__ import annotations

from modelyard.api import reason


class Unavailable(Exception):
    """The world did not answer as it should; trying again may heal it. Shown as `Unknown`, retried with backoff.

    Args:
        why: what kind of trouble, from the closed list.
        message: for a person: what is wrong, where, and who can mend it; never a credential.
        cause: where `why` says whose trouble it is, such as the ledger's: what kind of trouble it is there.
    """

    def __init__(self, why: reason.Reason, message: str, cause: reason.Reason | None = None) -> None:
        super().__init__(message)
        self.reason = why
        self.cause = cause or why
        self.message = message

"""Verbs that decide: promote, approve, reject, withdraw, rollback, abort, pause, resume, deprecate, retire."""

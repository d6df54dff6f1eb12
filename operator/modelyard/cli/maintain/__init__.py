"""Verbs that keep a registry: restore, gc, and the ledger's."""

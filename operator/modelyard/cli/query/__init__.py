"""Verbs that ask: list, show, status, diff, history, explain, dossier."""

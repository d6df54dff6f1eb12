"""Answers about the past: what served when and why, what happened, what differs, and a version's compliance file.

Pure. It reads the ledger's records and snapshots only: it never asks the cluster, and decides nothing.
"""

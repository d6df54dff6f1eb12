"""What people ask of the past: what served when and why, what happened, what differs, and a version's compliance file.

Pure, and from the ledger's records and snapshots alone: it never asks the cluster, and decides nothing.
"""

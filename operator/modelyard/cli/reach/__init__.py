"""How a command reaches what it needs: the cluster, a Model's storage, the operator's bucket, a ledger, local files.

No verb lives here, and nothing is printed.
"""

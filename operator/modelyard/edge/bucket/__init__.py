"""The operator's own bucket: the ledger's chains and their one writer, blobs by content, the registry's owner, and reading whole chains.

The only room that writes records.
"""

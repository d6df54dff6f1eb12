"""The operator's own bucket: the chains of the ledger and their one writer, blobs by content, whose registry it is, and whole chains read from it.

The only room that writes records.
"""

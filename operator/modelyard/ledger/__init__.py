"""The ledger: the records of a registry, how they are stored, folded, proven and signed, and the index that decisions ask.

Pure: no I/O and no clock. Nothing here decides; `plan` says what is recorded, `edge.bucket` writes and reads it.
"""

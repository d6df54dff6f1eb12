"""What happened: the records of a registry, how they are stored, folded, proven and signed, and what can be asked of them again and again.

Pure: no I/O and no clock. Nothing here decides; `plan` tells what is recorded, `edge.bucket` writes and reads it.
"""

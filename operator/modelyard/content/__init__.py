"""What bytes are, and where: digests, lists of files, canonical JSON, text that others wrote, locations in object storage.

Pure, and about bytes alone: what a model, a version or a record is has no place here.
"""

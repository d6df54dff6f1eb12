"""Bytes and where they are: digests, manifests, canonical JSON, JSON that others wrote, locations in object storage.

Pure, and about bytes alone: nothing here knows of models, versions or records.
"""

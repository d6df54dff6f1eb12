"""Verbs that register: push, attest, verify, and the manifests and documents that they write."""

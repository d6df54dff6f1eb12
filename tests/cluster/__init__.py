"""Tests against a real Kubernetes with real pods and a real object store."""

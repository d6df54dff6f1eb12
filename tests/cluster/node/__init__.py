"""A real Kubernetes for the tests: one node built from pinned sources, or kind where a Docker engine answers."""

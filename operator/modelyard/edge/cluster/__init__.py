"""The API server: the client, the cache of its objects, Events, the leader's Lease, trials of the policies, and the signing key.

The only room that knows the Kubernetes client.
"""

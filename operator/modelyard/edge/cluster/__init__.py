"""The API server: the client, what was last seen of its objects, Events, the Lease of who leads, whether the policies hold, and the key that signs.

The only room that knows the Kubernetes client.
"""

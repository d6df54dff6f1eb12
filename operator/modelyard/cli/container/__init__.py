"""What containers run: the operator, and the fetching of a pod's artifact."""

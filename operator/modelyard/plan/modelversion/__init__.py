"""What one version is: whether its bytes are proven, what its conditions say, its lifecycle, legal holds, and what can be collected of it."""

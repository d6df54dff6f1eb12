"""A version's artifact in its Model's store: every byte is read and hashed, and legal holds are set and lifted."""

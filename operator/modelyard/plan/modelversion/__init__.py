"""One version: the verification of its bytes, its conditions, its lifecycle, legal holds, and which of its objects can be collected."""

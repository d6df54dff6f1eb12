"""The ledger entries of a decision, for a model and for a version."""

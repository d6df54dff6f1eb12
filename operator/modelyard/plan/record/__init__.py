"""What the ledger is told of a decision: entries of a model and of a version."""

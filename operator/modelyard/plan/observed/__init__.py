"""What is observed before a decision: one frozen `World` of a model, and its objects that are lost, unreadable or not recorded yet.

Nothing here decides, and nothing reads the cluster after the `World` was made.
"""

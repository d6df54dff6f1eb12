"""What is observed before anything is decided: one frozen `World` of a model, and what is known of objects that are lost, unreadable or not recorded yet.

Nothing here decides, and nothing is looked at after it was made.
"""

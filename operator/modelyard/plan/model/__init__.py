"""Decide what a Model does next: its stages, promotions, serving objects and claims in one decision.

`decide` makes the decision; `plan.promotion` judges one promotion, `plan.serving` renders the pods.
"""

"""What a Model should do next: one decision about its stages, promotions, serving objects and claims.

`decide` is the arbiter; how one promotion is judged is `promotion`'s, what pods are rendered from `serving`'s.
"""

"""Pretended outside worlds that several tiers use."""

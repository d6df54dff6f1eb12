"""A version's compliance file: its fields, where each comes from, and which questions of regulatory frameworks it answers.

A dossier carries its evidence; checking a dossier means making it again. `cli` renders it as a page.
"""

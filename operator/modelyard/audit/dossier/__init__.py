"""A version's compliance file: its fields, where each comes from, and what frameworks of regulation ask.

A dossier carries what it follows from; checking one means making it again. How it looks as a page is `cli`'s.
"""

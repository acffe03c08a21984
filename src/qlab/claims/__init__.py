"""Notebook 05: the sources' claims, judged from records; and which variant to take.

Start with `claims` (data/claims.yaml, read and checked), `rules` (each kind of rule makes terms of
records) and `verdicts` (what follows from terms); `data` finds the records, `ledger` keeps the
verdicts, `chooser` picks a variant; `plots` and `explore` show them.
"""

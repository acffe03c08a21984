"""Experiment 05: the sources' claims, judged from records; and which variant to take.

Start with `rules` (each kind makes terms of records) and `verdicts` (what follows from terms).
`claims` reads data/claims.yaml, `address` finds a rule's records, `paired` the single items of two,
`data` the tables they lie in, `ledger` keeps the verdicts; `chooser` picks a variant.
"""

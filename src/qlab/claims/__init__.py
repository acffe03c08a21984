"""Experiment 05: judge the sources' claims from records, and choose a variant.

Start with `rules` (each kind turns records into terms) and `verdicts` (what follows from terms).
`claims` reads data/claims.yaml; `address` finds a rule's records, `data` the tables that hold them;
`paired` compares two figures item by item; `ledger` keeps the verdicts; `chooser` picks a variant.
"""

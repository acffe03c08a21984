"""Notebook 04: the evidence of many studies, and ours, combined by Dempster's rule.

`data` reads what is weighed and weighs it, `measure` keeps it as records. Start with `intensity`
(the scale of seven), `models` (belief in a study), `dempster` (the rule) and `synthesis` (what is
read off); `own` makes evidence of our records, `robustness` and `meta` weigh it otherwise.
"""

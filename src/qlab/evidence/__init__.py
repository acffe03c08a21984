"""Experiment 04: the evidence of many studies, and ours, combined by Dempster's rule.

Start with `synthesis` (what is read off), on `intensity` (the scale of seven), `models` (belief
in a study) and `dempster` (the rule). `data` reads what is weighed and weighs it, `measure` keeps
it as records; `own` makes evidence of our records, `robustness` and `meta` weigh it otherwise;
`plots` and `explore` show.
"""

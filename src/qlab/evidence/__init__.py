"""Experiment 04: the evidence of many studies, and ours, combined by Dempster's rule.

Start with `synthesis` (the results), which builds on `intensity` (the seven-point scale), `models`
(belief in a study) and `dempster` (the rule). `data` reads and checks the evidence, `measure` keeps
syntheses as records; `own` turns our records into evidence, `robustness` and `meta` weigh evidence
in other ways; `plots` and `explore` draw it.
"""

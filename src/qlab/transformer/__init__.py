"""Experiment 06: some weights of a transformer learn to live with few bits; the notebook contains
the method. `data` prepares a model and `sentences`; `measure` turns right and wrong answers into
records."""

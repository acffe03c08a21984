"""Experiment 06: some weights of a transformer learn to live with few bits, or do not.

Start with `data` (a BERT and sentences that train and judge it; `mini_reviews` generates some).
What is done to the model stands in the notebook; `measure` turns what it answers into records, and
`take` takes a variant along.
"""

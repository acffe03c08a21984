"""Experiment 06: some weights of a transformer learn to live with few bits. The method stands in
the notebook. `data`: what is worked on, a model and `sentences` (`mini_reviews` makes some);
`measure`: from right and wrong answers to records."""

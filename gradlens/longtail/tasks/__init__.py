"""Tasks: the data sets of the lab, ready for training."""

"""Tasks: the data sets of the lab, made ready for training."""

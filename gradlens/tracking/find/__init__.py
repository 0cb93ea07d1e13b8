"""Finds the model, the optimizer, the labels and the groups of a tracked script."""

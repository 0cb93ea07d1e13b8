"""Finds the model, the labels and the groups of a script."""

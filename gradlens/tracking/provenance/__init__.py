"""Finds labels by where they come from: what a loader has yielded, what its data set says, and what a loss was given."""

"""Damages to the folder of a run, and what a reader makes of them."""

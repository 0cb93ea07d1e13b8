"""Mirrors a run into the tracker that somebody uses already, from outside of the training."""

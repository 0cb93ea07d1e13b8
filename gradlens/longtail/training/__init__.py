"""Runs a recipe: the loop, checkpoints, evaluation."""

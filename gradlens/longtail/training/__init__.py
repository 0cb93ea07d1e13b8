"""Training: the loop that runs a recipe, checkpoints, evaluation, and measuring with a lens."""

"""Parts of experiments/mutate_runs.py: damages to the folder of a run, and verdicts about how a reader handles them."""

"""Parts of experiments/bench_training.py: what one build does, and two builds in turns."""

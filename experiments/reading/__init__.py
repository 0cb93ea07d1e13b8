"""Parts of experiments/bench_reading.py: what one build does."""

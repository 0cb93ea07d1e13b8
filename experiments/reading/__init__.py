"""Parts of experiments/bench_reading.py."""

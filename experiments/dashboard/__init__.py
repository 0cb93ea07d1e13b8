"""Parts of experiments/bench_dashboard.py: a long run, and timing how fast the pages show it."""

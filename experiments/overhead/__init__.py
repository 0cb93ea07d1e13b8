"""Parts of experiments/bench_overhead.py: what measuring costs with gradlens and with other packages."""

"""Parts of experiments/bench_budget.py: what a budget of 5 % costs in a training that is watched."""

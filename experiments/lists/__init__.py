"""Parts of experiments/bench_lists.py: runs to list, and what one build does with them."""

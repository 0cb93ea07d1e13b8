"""Analysis of runs: the claims of Figure 1, comparisons, distortion, phases. All of it reads finished or live runs."""

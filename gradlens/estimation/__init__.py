"""Statistics of measured series: intervals, smoothing, rank correlation, and distances without the bias of noise."""

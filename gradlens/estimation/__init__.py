"""Numbers about numbers: intervals, smoothing, correlation, and the distance that noise makes."""

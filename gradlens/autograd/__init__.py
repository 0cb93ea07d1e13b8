"""Gradients as vectors: arithmetic, inner products, pulling back, and the walk of the graph."""

"""Gradients as vectors: arithmetic, inner products, pull-backs, sharded parameters, and walks of the autograd graph."""

"""Guards: they keep the training exactly as it would be without gradlens."""

"""Watches a tracked script: its calls of torch's losses, backward passes and data loaders."""

"""What a run looks like on disk."""

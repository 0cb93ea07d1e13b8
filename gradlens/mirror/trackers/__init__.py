"""The trackers that a run can be mirrored to, a file for each."""

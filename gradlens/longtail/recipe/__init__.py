"""The description of a training: task, settings, phases, and how processes share it."""

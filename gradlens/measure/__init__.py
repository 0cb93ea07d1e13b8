"""Measures training steps: chooses the steps, measures their backward passes, and records the results."""

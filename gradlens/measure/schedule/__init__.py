"""Decides which steps are measured, from the number of the step or from the time that measuring takes."""

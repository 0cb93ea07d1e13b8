"""Runs a script under ``gradlens track``: finds its code, makes the run's folder, executes it, and ends the run."""

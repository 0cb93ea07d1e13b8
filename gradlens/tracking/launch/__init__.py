"""Runs a script under ``gradlens track``, from its start to the last line."""

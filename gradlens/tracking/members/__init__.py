"""Reads an attribute of the samples (domain, language, annotator) from the script's batches: ``--members PATH``."""

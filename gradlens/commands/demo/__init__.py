"""The command ``gradlens demo``."""

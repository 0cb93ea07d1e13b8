"""The commands of ``gradlens``."""

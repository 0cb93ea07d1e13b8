"""``gradlens demo``."""

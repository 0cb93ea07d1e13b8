"""Callbacks for training frameworks. Import the one you need: ``gradlens.integrations.lightning`` or ``.transformers``."""

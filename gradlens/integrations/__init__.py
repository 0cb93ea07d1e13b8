"""Callbacks for training frameworks; import the one you need: ``gradlens.integrations.lightning``, ``.transformers``."""

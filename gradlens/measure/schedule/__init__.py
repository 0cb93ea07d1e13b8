"""Which steps are measured."""

"""The networks of the lab."""

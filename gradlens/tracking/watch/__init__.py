"""Watches what the script asks torch to do."""

"""Runs as text: the terminal, HTML, export."""

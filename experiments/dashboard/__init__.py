"""The dashboard benchmark: a long run, and how fast the pages show it."""

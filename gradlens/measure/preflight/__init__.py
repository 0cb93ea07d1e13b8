"""Checks a step before gradlens runs passes of its own, and refuses what they would disturb."""

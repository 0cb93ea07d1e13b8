"""Makes the lens of a script and keeps it in step with the script."""

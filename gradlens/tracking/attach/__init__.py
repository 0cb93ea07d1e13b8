"""Makes the lens of a tracked script, and adapts it when the script changes its optimizer, its model or its classes."""

"""Shows runs as tables in the terminal, as an HTML report and in notebooks, and exports them to other formats."""

"""What is looked at before the first extra pass, and refused by name."""

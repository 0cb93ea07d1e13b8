"""What the numbers are: the Gram of a step, its quantities, and whole series of them."""

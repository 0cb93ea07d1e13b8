"""What the numbers are: the Gram of a step, the catalogue of quantities that follow from it, and whole series of them."""

"""What the numbers are: the Gram of a step, the catalogue of quantities that follow from it, and their series over a run."""

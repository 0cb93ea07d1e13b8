"""Classes by frequency: head, middle and tail of a vocabulary. Files that name the group of each class."""

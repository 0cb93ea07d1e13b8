"""Methods whose tasks are groups of classes: they combine the gradients of the groups."""

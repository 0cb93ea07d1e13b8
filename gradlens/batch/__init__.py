"""The samples of a forward and backward pass: their rows and groups, the anchors, the scores, the scale of the loss."""

"""The samples of a pass: rows and their groups, anchors, scores, the scale of the loss."""

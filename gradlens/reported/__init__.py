"""What a training reports itself: phases, marks, evaluations, and its own numbers."""

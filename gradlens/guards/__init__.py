"""What keeps gradlens from leaving a trace in the training that it measures."""

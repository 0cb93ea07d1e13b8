"""What a training is made of: phases, settings, tasks."""

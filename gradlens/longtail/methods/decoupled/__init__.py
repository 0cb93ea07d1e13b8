"""Methods with a second stage for the classifier alone, after one that trains the whole network (Kang et al. 2020)."""

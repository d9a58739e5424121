"""Training: the loops, and what a run leaves behind."""

"""One page about trainings and tests."""

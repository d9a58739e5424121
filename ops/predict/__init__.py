"""Predictions for single videos and over time."""

"""Helpers that all other packages share: errors, files, devices, processes, the console."""

"""Preparing data: one pure function per video, and what runs it over hundreds of thousands of them."""

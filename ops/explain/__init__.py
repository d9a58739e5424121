"""What a network looked at, and what its TAMs did."""

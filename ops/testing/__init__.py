"""Testing: views, fusion, scores and result files."""

"""The consensus of the segments of a clip."""

import torch

from ops.models.consensus import make_consensus


def test_consensus_averages_segments() -> None:
    scores = torch.arange(12.0).view(2, 3, 2)
    assert torch.equal(make_consensus("avg")(scores), scores.mean(1))

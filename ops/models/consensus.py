"""Segment consensus: how the scores of a clip's segments become the score of the clip (Wang et al., TSN)."""

from torch import Tensor, nn

from ops.common.errors import InputError
from ops.models.architectures import CONSENSUS_TYPES


class AverageConsensus(nn.Module):
    """The mean over segments: `[N, T, K]` → `[N, K]`."""

    def forward(self, scores: Tensor) -> Tensor:
        """`scores [N, T, K]` → `[N, K]`."""
        return scores.mean(dim=1)


def make_consensus(consensus_type: str) -> nn.Module:
    """The consensus called `name`; InputError if there is none."""
    if consensus_type not in CONSENSUS_TYPES:
        raise InputError(f"consensus type ({consensus_type}) must be one of {', '.join(CONSENSUS_TYPES)}")
    return AverageConsensus()

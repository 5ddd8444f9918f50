"""Captions to style vectors: a small encoder over a fixed vocabulary; words it does not know are skipped."""

import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STYLE = 512  # width of a style vector, as DiffRhythm has it


def words_of(caption: str) -> list[str]:
    """Lower-case words of a caption; hyphens and punctuation separate."""
    return re.findall(r"[a-z0-9]+", caption.lower())


class TextEncoder(nn.Module):
    """Word embeddings, a look at the two neighbours, attention pooling by several learned queries, two layers.

    The neighbours tell "low notes" from "low quality"; otherwise a caption is a bag of words.

    Args:
        vocabulary: the known words; their order is part of the weights.
        width: of a word's embedding.
        queries: number of pooled vectors.
    """

    def __init__(self, vocabulary: Sequence[str], width: int = 192, queries: int = 4) -> None:
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        self.ids = {word: i + 1 for i, word in enumerate(self.vocabulary)}
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, width, padding_idx=0)
        self.neighbours = nn.Linear(3 * width, width)
        self.scores = nn.Linear(width, queries)
        self.out = nn.Sequential(nn.Linear(queries * width, STYLE), nn.GELU(), nn.Linear(STYLE, STYLE))
        self.null = nn.Parameter(torch.randn(STYLE))

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Ids [B, longest] of the known words, filled up with 0."""
        rows = [[self.ids[word] for word in words_of(caption) if word in self.ids] for caption in captions]
        ids = torch.zeros(len(rows), max(1, *map(len, rows)) if rows else 1, dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        return ids

    def forward(self, ids: Tensor) -> Tensor:
        """Style vectors [B, 512] of unit length for ids [B, n]; a caption without a known word gets the null."""
        known = (ids > 0).unsqueeze(-1)
        x = self.embedding(ids)
        padded = F.pad(x, (0, 0, 1, 1))
        context = torch.cat([padded[:, :-2], x, padded[:, 2:]], dim=-1)
        x = (x + F.gelu(self.neighbours(context))) * known
        weights = self.scores(x).masked_fill(~known, -1e4).softmax(dim=1)
        pooled = torch.einsum("bnq,bnd->bqd", weights, x).flatten(1)
        style = F.normalize(self.out(pooled), dim=-1)
        return torch.where(known.any(1), style, self.null_style())

    def null_style(self) -> Tensor:
        """The vector [1, 512] of the null branch, unit length."""
        return F.normalize(self.null, dim=0)[None]

"""Kinds of probe that read a latent."""

TRAINED = "trained"
"""Trained on the labels."""
SHUFFLED = "shuffled"
"""Trained on the labels of other files: a check of selectivity."""
GENERIC = "generic"
"""A direction that means nothing, cut into classes as frequent as those of the trained probe."""

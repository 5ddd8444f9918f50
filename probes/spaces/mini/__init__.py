"""The latent space of the bundled model, and its codec's network."""

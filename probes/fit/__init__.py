"""Training: autoencoders, probes, readouts and the grid, from a corpus to files."""

"""Figures of runs, comparisons, sweeps and steering: one palette, one file per figure."""

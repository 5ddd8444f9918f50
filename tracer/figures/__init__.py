"""Figures of runs, sweeps and steering: one palette, one file per figure."""

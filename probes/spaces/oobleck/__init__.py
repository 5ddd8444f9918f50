"""Waveform autoencoders of the Oobleck family: Stable Audio Open, DiffRhythm, ACE-Step, Stable Audio 3, LongCat."""

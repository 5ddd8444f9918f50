"""Codecs around the encodec package's SEANet: EnCodec and WavTokenizer."""

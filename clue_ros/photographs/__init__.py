"""Real photographs with named boxes, and pictures composed of cut-outs, as training data for eyes and words."""

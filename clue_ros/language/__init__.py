"""English by rules: instructions, positions, replies, what is asked. Pure functions; nothing here knows a model."""

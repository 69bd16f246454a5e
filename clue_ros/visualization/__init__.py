"""Pictures of what the model read and decided: a cheap overlay for the debug topic, a full picture for an episode.

Images are uint8[H, W, 3] RGB in and out; boxes and points are in pixels of the image that is passed in.
"""

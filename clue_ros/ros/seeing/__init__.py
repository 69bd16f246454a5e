"""The camera side of the node: images as they come, and where in space a box is."""

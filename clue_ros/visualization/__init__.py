"""Pictures of what the model read and decided: a cheap overlay for the debug topic, a full picture for an episode.

Images are uint8[H, W, 3] RGB in and out; boxes and points are in pixels of the image that is passed in.
"""

from clue_ros.visualization.debug_image import draw_debug
from clue_ros.visualization.episode_picture import episode_picture
from clue_ros.visualization.overlay import overlay_attention

__all__ = ["draw_debug", "episode_picture", "overlay_attention"]

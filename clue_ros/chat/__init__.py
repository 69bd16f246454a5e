"""Grounded chat: questions about the picture, answered in words whose phrases each carry a box. No ROS.

LLaVA-Grounding's grounded visual chat (Zhang et al., 2023) with what the backbone can do: `inventory` asks a model of a
closed vocabulary for each kind of thing, `caption` grounds the noun phrases of an open one's own words.
"""

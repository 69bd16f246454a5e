"""Dialogues made by machine: InViG's annotation system (section III), from images with boxes only. No ROS.

captioner -> questioner <-> oracle -> guesser      kept where the guesser finds the target again
"""

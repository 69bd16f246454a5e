"""The frozen eyes: a whole DINOv2 (Oquab et al. 2023); nothing is trained here. Start reading at `frozen.py`."""

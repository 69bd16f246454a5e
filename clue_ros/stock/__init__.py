"""Asking and pointing with a plain PaliGemma mix checkpoint, nothing trained: start with grounder.py."""

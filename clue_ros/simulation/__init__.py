"""Rendered tabletop scenes, a grammar of referring expressions over them, and a simulated person."""

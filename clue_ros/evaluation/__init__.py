"""Evaluation: metrics, one offline episode from a scene to a score, and the demo's evaluation over many seeds."""

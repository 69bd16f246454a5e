"""Figures and their intervals: classification, overlap, ranking, text; tables, curves and pictures of results."""

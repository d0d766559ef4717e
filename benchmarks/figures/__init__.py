"""Figures out of a report's JSON, and pictures of single answers."""

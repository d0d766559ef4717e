"""Whole scenes: what they cost in time and memory, how well they are mapped, whether tiles leave seams."""

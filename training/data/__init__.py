"""Pairs of images with known land cover, and what is derived from them."""

"""Asking the pipeline, holding its answers against the labels, and figures out of what came of it."""

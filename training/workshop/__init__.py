"""Training in stages, in one working folder."""

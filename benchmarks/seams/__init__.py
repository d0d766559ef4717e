"""Whether a paste's seam gives a composite away."""

"""`reasoncd-bench`: accuracy through the whole pipeline, with controls, and speed as ratios."""

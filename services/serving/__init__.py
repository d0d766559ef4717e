"""What the services have in common when they are served: settings, stores, workers, and Ray Serve.

The engines know nothing of it. `replica`, `cluster` and `launch` meet Ray; the rest works without.
"""

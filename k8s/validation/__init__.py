"""What is wrong with a set of manifests, before a cluster is asked: `python -m k8s.validation OVERLAY ...`.

`rendering` turns overlays into objects; `schemas`, `serve_configs` and the rules in `rules/` look at them and
yield `Problem`s. Nothing here talks to a cluster, and Ray is never started.
"""

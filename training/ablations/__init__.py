"""Ablations: arms that differ in one choice, trained alike from shared weights, compared with intervals."""

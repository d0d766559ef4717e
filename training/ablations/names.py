"""The ablations by name, where nothing that computes is imported."""

from enum import StrEnum


class AblationName(StrEnum):
    """What `reasoncd-train ablate` takes."""

    FUSION = "fusion"
    REAL_COMPOSITES = "real-composites"
    LORA_RANK = "lora-rank"
    LORA_TARGETS = "lora-targets"
    REASON_ORDER = "reason-order"
    MISSING_SEG = "missing-seg"
    ABSENCE = "absence"

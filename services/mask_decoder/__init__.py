"""Where it changed: a fused map and prompts to masks, presence and quality."""

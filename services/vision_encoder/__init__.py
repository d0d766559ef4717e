"""What the images say: CLIP tokens for the reasoner, one fused map for the mask decoder."""

"""The three services: vision encoder, reasoner, mask decoder. None imports another."""

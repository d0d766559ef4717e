"""Makes checkpoints: data, losses, stages, the training loop and the export."""

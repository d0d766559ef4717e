"""The paper's training: the whole model fitted to sample files."""

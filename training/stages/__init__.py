"""The stages of training: each is one module whose forward pass gives losses, and its batches."""

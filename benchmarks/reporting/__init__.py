"""The pages of accuracy and of understanding, as Markdown."""

"""The reasoner: what a query means, as answer text and one `<SEG>` embedding."""

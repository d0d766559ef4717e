"""Building change by supervised binary networks and by colour alone, beside the model."""

"""When to ask: from the attention map to P(ambiguous)."""

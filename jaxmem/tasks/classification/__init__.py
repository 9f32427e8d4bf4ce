"""Classification: a text, or a pair of texts, and its class."""

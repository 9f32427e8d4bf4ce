"""Text from a language model: sampling, beams, sessions."""

"""Text of any length, scored through a trained model: `jaxmem eval --text`."""

"""The trainer: config, optimizer, step, loop, loading."""

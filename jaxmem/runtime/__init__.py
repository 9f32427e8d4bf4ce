"""A process and its work directory: checkpoints, locks, signals, logs."""

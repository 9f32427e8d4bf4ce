"""What keeps a process and its work directory: checkpoints, locks, signals, logs."""

"""Arrays over many devices and processes: meshes, sequence parallelism, rings."""

"""Arrays over many devices and processes: meshes, shards of time, ring attention."""

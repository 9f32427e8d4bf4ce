"""What every other package stands on: types, errors, files, the registry; no device."""

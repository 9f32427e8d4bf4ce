"""What is done with a trained model: predictions, probes, inspection, comparison."""

"""What a trained model does while it reads."""

"""What mixers are made of: primitives, and the base class of each family."""

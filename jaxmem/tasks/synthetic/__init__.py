"""A question to a memory: examples of a task, scored in bits an answer and accuracy."""

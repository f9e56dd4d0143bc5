"""Watch a trained network at work: gates, memory, what outputs depend on; as a page, as pictures, in TensorBoard."""

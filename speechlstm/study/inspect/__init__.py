"""Watch a trained network listen: its gates, its memory, what it rests on; as a page, as pictures, in TensorBoard."""

"""The recognizer itself: features, encoder, tokenizer, and the bundle that holds them."""

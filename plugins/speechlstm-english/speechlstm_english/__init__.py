"""A trained model for speechlstm: general English."""

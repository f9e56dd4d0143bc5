"""Plain RNN, GRU, LSTM and Transformer compared: on tasks with long time lags, and on speech."""

"""What happens around the updates of a training: checkpoints, averaging, interruptions. Settings as in `conf/callbacks/`."""

"""What happens around the updates of a training, with the settings of `conf/callbacks/`."""

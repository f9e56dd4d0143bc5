"""Lightning callbacks of a training, with their settings in `conf/callbacks/`."""

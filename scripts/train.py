"""The same as `speechlstm train`."""

from speechlstm.cli.train import main

if __name__ == "__main__":
    main()

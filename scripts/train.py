"""The same as `speechlstm train`."""

from speechlstm.commands.train import main

if __name__ == "__main__":
    main()

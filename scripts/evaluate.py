"""The same as `speechlstm evaluate`."""

from speechlstm.cli.evaluate import main

if __name__ == "__main__":
    main()

"""The same as `speechlstm evaluate`."""

from speechlstm.commands.evaluate import main

if __name__ == "__main__":
    main()

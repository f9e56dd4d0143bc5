"""The same as `speechlstm transcribe`."""

from speechlstm.commands.transcribe import main

if __name__ == "__main__":
    main()

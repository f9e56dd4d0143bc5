"""The same as `speechlstm transcribe`."""

from speechlstm.cli.transcribe import main

if __name__ == "__main__":
    main()

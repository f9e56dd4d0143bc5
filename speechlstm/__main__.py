"""`python -m speechlstm` is the console command."""

from speechlstm.cli.main import main

if __name__ == "__main__":  # a spawned process imports this file, too
    main()

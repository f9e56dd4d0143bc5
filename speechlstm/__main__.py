"""`python -m speechlstm` is the console command."""

from speechlstm.cli import main

main()

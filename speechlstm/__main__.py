"""The program: `speechlstm`, or `python -m speechlstm`."""

import os
import signal


def main() -> None:
    """Run the console command. An interrupt while it is being imported ends the process at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: os._exit(128 + number))
    from speechlstm.cli.main import main as command

    command()


if __name__ == "__main__":  # a spawned process imports this file, too
    main()

"""How a server bears load: 1 to 64 clients at once, recordings of different lengths, some of them broken.

    python benchmarks/serve.py [seconds=20] [clients=1,8,64] [SETTING=VALUE ...]

Starts `speechlstm serve` with the further settings, and lets so many clients ask for so many seconds each, as fast as
they are answered: recordings of 0.5 to 8 s, one upload in twenty cut to pieces. Prints throughput, the median and the
99 % latency, the server's CPU time for a second of audio, its memory in MB at the beginning, in the middle, and at the
end, and how many answers were lost or wrong. In the last line the clients take turns, so that no two requests are
recognized together: the difference is what recognizing them together gains.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import soundfile

import speechlstm
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples" / "samples.jsonl"
BROKEN = 20  # one upload of so many
ALONE = threading.Lock()


def main() -> None:
    """Print a row for each number of clients."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    seconds = float(given.pop("seconds", "20"))
    numbers = [int(each) for each in given.pop("clients", "1,8,64").split(",")]
    settings = [f"{key}={value}" for key, value in given.items()]
    uploads = recordings()
    command = [sys.executable, "-m", "speechlstm", "serve", "bundle=small", "port=0", *settings]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        address = re.search(r":(\d+)/", server.stdout.readline())
        assert address, "the server has not begun"
        port = int(address[1])
        expected = {name: ask(port, body)[1] for name, body in uploads.items()}
        print("clients  answers/s  audio s/s  median ms  99 % ms  CPU ms/s  MB              lost  wrong")
        for clients in numbers:
            load(server.pid, port, clients, seconds, uploads, expected)
        load(server.pid, port, max(numbers), seconds, uploads, expected, alone=True)
    finally:
        server.terminate()
        server.wait(120)


def recordings() -> dict[str, bytes]:
    """Return uploads by name: whole ones of 0.5 to 8 s, and one that is broken."""
    rng = np.random.default_rng(0)
    spoken = np.concatenate([load_audio(each.audio_filepath, 16_000) for each in read_manifest(SAMPLES)])
    made = {}
    for number, seconds in enumerate(rng.uniform(0.5, 8, BROKEN - 1)):
        start = rng.integers(len(spoken) - round(seconds * 16_000))
        buffer = io.BytesIO()
        soundfile.write(buffer, spoken[start : start + round(seconds * 16_000)], 16_000, format="FLAC")
        made[f"{seconds:.2f} {number}"] = buffer.getvalue()
    made["broken"] = buffer.getvalue()[:50]
    return made


def ask(port: int, content: bytes) -> tuple[int, str]:
    """Return the status and the text, or the error, of one upload."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.flac"\r\n\r\n'
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    connection.request("POST", "/v1/audio/transcriptions", head + content + b"\r\n--b--\r\n", headers)
    answered = connection.getresponse()
    document = json.loads(answered.read())
    connection.close()
    return answered.status, str(document.get("text", document.get("error")))


def processor_time(pid: int) -> float:
    """Return the seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int) -> float:
    """Return the memory that a process uses."""
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kilobytes) / 1e3


def load(
    pid: int,
    port: int,
    clients: int,
    seconds: float,
    uploads: dict[str, bytes],
    expected: dict[str, str],
    alone: bool = False,
) -> None:
    """Let clients ask for some seconds, and print what they met."""
    latencies: list[float] = []
    audio, lost, wrong = [0.0], [0], [0]
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        rng = np.random.default_rng(number)
        names = list(uploads)
        while time.monotonic() < end:
            name = names[rng.integers(len(names))]
            begin = time.monotonic()
            try:
                if alone:
                    with ALONE:
                        status, text = ask(port, uploads[name])
                else:
                    status, text = ask(port, uploads[name])
            except (OSError, http.client.HTTPException):
                lost[0] += 1
                continue
            latencies.append(time.monotonic() - begin)
            audio[0] += float(name.split()[0]) if name != "broken" else 0.0
            wrong[0] += text != expected[name] or status != (400 if name == "broken" else 200)

    begin, before = time.monotonic(), processor_time(pid)
    memory = [megabytes(pid)]
    middle = threading.Timer(seconds / 2, lambda: memory.append(megabytes(pid)))
    middle.start()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.monotonic() - begin
    each = (processor_time(pid) - before) * 1000 / audio[0]
    memory.append(megabytes(pid))
    median, most = np.quantile(latencies, (0.5, 0.99)) * 1000
    print(
        f"{'alone' if alone else clients:>7}  {len(latencies) / spent:9.1f}  {audio[0] / spent:9.1f}  {median:9.0f}"
        f"  {most:7.0f}  {each:8.1f}  {' '.join(f'{each:.0f}' for each in memory):14}  {lost[0]:4}  {wrong[0]:5}",
        flush=True,
    )


if __name__ == "__main__":
    main()

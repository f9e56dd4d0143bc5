"""`speechlstm lm`: the model it writes, the figures it prints, and what is said when something is wrong."""

from __future__ import annotations

import gzip
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from spelling import SpellingBundle

import speechlstm
from speechlstm.cli import lm as command
from speechlstm.decoders.lm import load, read_arpa
from speechlstm.decoders.lm.lstm import load_lstm

Run = Callable[..., tuple[int, str, str]]

TEXT = ["Turn left at the old mill", "turn RIGHT at the mill", "go left at the river", "stop at the river"]
LSTM = ["text=text.txt", "kind=lstm", "out=lm.safetensors", "lstm.embedding=4", "lstm.hidden=6"]
HELD_OUT = ["turn left at the new river", "go west"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a function that runs the command in a folder with texts and gives exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name, lines in {"text.txt": TEXT, "held out.txt": HELD_OUT}.items():
        Path(name).write_text("".join(f"{line}\n" for line in lines))
    utterances = (
        {"audio_filepath": f"{n}.wav", "duration": 1, "text": text} for n, text in enumerate(HELD_OUT)
    )
    Path("held_out.jsonl").write_text("".join(json.dumps(utterance) + "\n" for utterance in utterances))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lm.py", *arguments])
        status = 0
        try:
            command.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def perplexity(model: str, lines: list[str]) -> str:
    scores = [score for line in lines for score in load(model).score(line.lower().split())]
    return f"{math.exp(-sum(scores) / len(scores)):.2f}"


def test_the_model_and_the_report(run: Run) -> None:
    status, out, err = run("text=text.txt", "test=held out.txt", "out=made/lm.arpa", "order=2")
    assert status == 0
    trie = read_arpa("made/lm.arpa")
    assert trie.words[3:] == ["turn", "left", "at", "the", "old", "mill", "right", "go", "river", "stop"]
    header, first, second, text, test, unknown, written = out.splitlines()
    assert header.split() == ["order", "n-grams", "kept", "D1", "D2", "D3+"]
    assert [first.split()[:3], second.split()[:3]] == [
        ["1", "13", "13"],
        ["2", str(trie.counts[1]), str(trie.counts[1])],
    ]
    assert text == f"text     4 sentences, 20 words, perplexity {perplexity('made/lm.arpa', TEXT)}"
    assert test.startswith(
        f"test     2 sentences, 8 words, perplexity {perplexity('made/lm.arpa', HELD_OUT)} ("
    )
    assert unknown.strip() == "unknown: 2 (25.00%), 2 different: new (1), west (1)"
    assert written.split() == ["written", "made/lm.arpa"]
    assert err.count("note: the discounts are the fall-back 0.5, 1.0, 1.5 for ") == 1
    for n, line in enumerate([first, second], 1):
        assert ("0.5000   1.0000   1.5000" in line) == (f"{n}-grams (" in err)


def test_pruning_vocabulary_gzip_and_case(run: Run) -> None:
    status, out, _ = run("text=text.txt", "out=lm.arpa.gz", "prune=[0,1]", "vocab_size=4", "case=upper")
    assert status == 0
    assert gzip.decompress(Path("lm.arpa.gz").read_bytes()).startswith(b"\\data\\\nngram 1=7\n")
    assert set(read_arpa("lm.arpa.gz").words[3:]) == {"AT", "THE", "TURN", "LEFT"}
    found, kept = out.splitlines()[2].split()[1:3]
    assert int(kept) < int(found)
    assert (
        "unknown: 8 (40.00%), 6 different: MILL (2), RIVER (2), OLD (1), RIGHT (1), GO (1), STOP (1)" in out
    )


def test_an_lstm(run: Run) -> None:
    status, out, _ = run(*LSTM, "test=held out.txt", "vocab_size=4", "lstm.epochs=2")
    assert status == 0
    model = load_lstm("lm.safetensors")
    assert model.words == ["<s>", "</s>", "<unk>", "turn", "left", "at", "the"]
    size = Path("lm.safetensors").stat().st_size / 1e6
    about, test, unknown, written = out.splitlines()
    assert (
        about
        == f"lstm     7 words, {sum(each.numel() for each in model.parameters())} weights, {size:.2f} MB"
    )
    assert (model.embedding.embedding_dim, model.lstm.hidden_size) == (4, 6)
    scores = [score for line in model.score([line.lower().split() for line in HELD_OUT]) for score in line]
    expected = math.exp(-sum(scores) / len(scores))
    assert test.startswith("test     2 sentences, 8 words, perplexity ")
    assert float(test.split("perplexity ")[1].split()[0]) == pytest.approx(
        expected, rel=0.02
    )  # half precision
    assert unknown.strip().startswith("unknown: 4 (50.00%), 4 different: new (1), river (1)")
    assert written.split() == ["written", "lm.safetensors"]
    assert sorted(path.name for path in Path().iterdir()) == [
        "held out.txt",
        "held_out.jsonl",
        "lm.safetensors",
        "text.txt",
    ]
    status, out, _ = run(*LSTM, "words=held out.txt")
    assert status == 0 and load_lstm("lm.safetensors").words == ["<s>", "</s>", "<unk>", "turn", "go"]
    assert "perplexity" not in out


def test_an_lstm_that_goes_on_from_another(run: Run) -> None:
    assert run(*LSTM, "vocab_size=4")[0] == 0
    before = load_lstm("lm.safetensors")
    status, out, err = run(*LSTM[:2], "lstm.init_from=lm.safetensors", "out=own.safetensors")
    assert status == 0 and out.startswith("lstm     7 words, ")
    words = " ".join(TEXT).lower().split()
    lacking = sum(word not in before.ids for word in words) / len(words)
    assert f"lm.safetensors lacks {lacking:.1%} of the text's running words: they are <unk>" in err
    after = load_lstm("own.safetensors")
    assert after.words == before.words and after.lstm.hidden_size == before.lstm.hidden_size
    text = [line.lower().split() for line in TEXT]
    likelihoods = [sum(map(sum, each.score(text))) for each in (before, after)]
    assert likelihoods[1] > likelihoods[0]
    Path("other.txt").write_text("not one\n")
    status, _, err = run("text=other.txt", "kind=lstm", "lstm.init_from=lm.safetensors", "out=x.safetensors")
    assert status == 2 and "lstm.init_from=lm.safetensors: has no word of the text; train without it" in err
    status, _, err = run(*LSTM[:2], "lstm.init_from=lm.safetensors", "out=lm.safetensors", "overwrite=true")
    assert status == 2 and "lm.safetensors" in err and load_lstm("lm.safetensors").words == before.words


def test_manifests_several_files_and_an_order_that_no_sentence_has(run: Run) -> None:
    listed = "text=[text.txt,'held out.txt']"
    status, out, err = run(listed, "manifest=held_out.jsonl", "test=held_out.jsonl", "out=lm.arpa", "order=6")
    assert status == 0 and read_arpa("lm.arpa").order == 6
    assert (
        "text     8 sentences, 36 words" in out
        and "test     2 sentences, 8 words" in out
        and "unknown" not in out
    )
    Path("short.txt").write_text("<s> one </s>\ntwo\n")
    status, out, err = run("text=short.txt", "out=lm.arpa", "order=6")
    assert status == 0 and read_arpa("lm.arpa").order == 3
    assert "note: no sentence has 6 words, <s> and </s> counted: the order is 3" in err
    assert "note: 2 <s> and </s> in the text are left out: each line has its own" in err


def test_the_tokens_of_a_recognizer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speechlstm, "load", lambda path: SpellingBundle())
    Path("text.txt").write_text("go on\nroute 66\ngo\n")
    status, out, err = run("text=text.txt", "out=lm.arpa", "unit=token", "bundle=here", "test=held out.txt")
    assert status == 3
    assert set(read_arpa("lm.arpa").words) == {"<unk>", "<s>", "</s>", "g", "o", "n", "<space>"}
    assert "text     2 sentences, 7 tokens, perplexity " in out
    assert (
        err.count("left out: ") == 1
        and "left out: text.txt:2: '6' (2) not in the tokenizer's characters" in err
    )
    assert "1 left out, named above" in err
    status, out, err = run("text=text.txt", "out=lm.arpa", "bundle=here")
    assert status == 0 and "66" in read_arpa("lm.arpa").words
    assert "note: the recognizer has no tokens to write 1 different: 66 with" in err
    status, out, err = run("text=text.txt", "out=lm.arpa", "unit=character")
    assert status == 0 and {"6", "<space>"} <= set(read_arpa("lm.arpa").words)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["out=lm.arpa"], 2, "no text: add text=FILE, or manifest=FILE"),
        (["text=text.txt"], 2, "out is not set: add out=..."),
        (["text=held_out.jsonl", "out=lm.arpa"], 2, "give it as manifest=held_out.jsonl"),
        (["text=text.txt", "out=text.txt"], 2, "text.txt: is read by this command"),
        (["text=text.txt", "out=."], 2, ".: a folder, but must be a file"),
        (["text=text.txt", "out=lm.arpa", "unit=phone"], 2, "must be one of word, character, token"),
        (["text=text.txt", "out=lm.arpa", "case=title"], 2, "must be one of lower, upper, keep"),
        (["text=text.txt", "out=lm.arpa", "unit=token"], 2, "unit=token needs the tokenizer of a recognizer"),
        (["text=text.txt", "out=lm.arpa", "kind=rnn"], 2, "kind is 'rnn', but must be one of ngram, lstm"),
        (
            ["text=text.txt", "out=lm.arpa", "kind=lstm"],
            2,
            "out=lm.arpa: must end in .safetensors, for kind=lstm",
        ),
        (["text=text.txt", "out=lm.safetensors"], 2, "must end in .arpa or .arpa.gz, without kind=lstm"),
        ([*LSTM, "unit=character"], 2, "unit=character, but an LSTM language model is one of words"),
        ([*LSTM, "order=3"], 2, "order has no effect with kind=lstm"),
        ([*LSTM, "lstm.init_from=x"], 2, "lstm.embedding has no effect with lstm.init_from, whose words"),
        ([*LSTM[:3], "lstm.init_from=x.safetensors"], 1, "x.safetensors: no such file"),
        ([*LSTM[:3], "lstm.init_from=text.txt"], 1, "text.txt"),
        ([*LSTM, "size_mb=3"], 2, "size_mb has no effect with kind=lstm"),
        ([*LSTM, "lstm.hidden=0"], 2, "lstm.hidden is 0, but must be a whole number from 1 to 8192"),
        ([*LSTM, "lstm.lr=0"], 2, "lstm.lr is 0, but must be a number from 0 to 1, without 0"),
        ([*LSTM, "lstm.accelerator=tpu"], 2, "lstm.accelerator is 'tpu', but must be one of cpu, gpu, auto"),
        (["text=text.txt", "out=lm.arpa", "lstm.hidden=8"], 2, "lstm.hidden has no effect with kind=ngram"),
        (["text=text.txt", "out=lm.arpa", "vocab_size=0"], 2, "vocab_size is 0, but must be"),
        (["text=text.txt", "out=lm.arpa", "vocab_size=many"], 2, "vocab_size is 'many'"),
        (
            ["text=text.txt", "out=lm.arpa", "order=7"],
            2,
            "order is 7, but must be a whole number from 1 to 6",
        ),
        (["text=text.txt", "out=lm.arpa", "order=2", "prune=[1,0]"], 2, "never decrease"),
        (["text=text.txt", "out=lm.arpa", "ordre=2"], 2, "did you mean 'order'"),
        (["text=gone.txt", "out=lm.arpa"], 1, "gone.txt: cannot be read: No such file"),
        (["manifest=gone.jsonl", "out=lm.arpa"], 1, "gone.jsonl: cannot read the manifest"),
        (["text=text.txt", "out=lm.arpa", "test=gone.txt"], 1, "gone.txt: cannot be read"),
        (["text=text.txt", "out=lm.arpa", "bundle=gone"], 1, "gone: no such folder"),
        (["text=text.txt", "out=text.txt/lm.arpa"], 1, "text.txt"),
    ],
)
def test_mistakes(run: Run, arguments: list[str], status: int, message: str) -> None:
    before = sorted(path.name for path in Path().iterdir())
    got, out, err = run(*arguments)
    assert (got, out) == (status, "")
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == before, "nothing is written"


def test_a_full_disk_leaves_the_old_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("text=text.txt", "out=lm.arpa", "order=1")[0] == 0
    old = Path("lm.arpa").read_text()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    status, out, err = run("text=text.txt", "out=lm.arpa")
    assert (status, out, err) == (1, "", "error: lm.arpa: No space left on device\n")
    assert Path("lm.arpa").read_text() == old


def test_help_and_the_installed_command(tmp_path: Path) -> None:
    (tmp_path / "été, 1=a.txt").write_text("a b a\n")
    for arguments, wanted in (
        (["--help"], r"usage: speechlstm lm text=FILE\|manifest=FILE out=FILE.arpa"),
        (["text=été, 1=a.txt", "out=lm.arpa"], r"text     1 sentence, 3 words"),
    ):
        call = [sys.executable, "-m", "speechlstm", "lm", *arguments]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert re.search(wanted, done.stdout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lm.arpa", "été, 1=a.txt"]


def test_a_size_and_a_list_of_words(run: Run) -> None:
    Path("words.dic").write_text("turn T ER N\nat AE T\nAT(2) AH T\nthe DH AH\nriver R IH V ER\n")
    run("text=text.txt", "out=all.arpa")
    status, out, _ = run(
        "text=text.txt", "test=held out.txt", "words=words.dic", "size_mb=0.0006", "out=lm.arpa"
    )
    assert status == 0 and Path("lm.arpa").stat().st_size <= 600
    trie = read_arpa("lm.arpa")
    assert trie.words == ["<unk>", "<s>", "</s>", "turn", "at", "the", "river"]
    counts = ", ".join(f"{count} {n}-grams" for n, count in enumerate(trie.counts, 1))
    pruned = next(line for line in out.splitlines() if line.startswith("pruned"))
    assert f"{counts} left: 0.00 MB, perplexity " in pruned
    status, _, err = run("text=text.txt", "size_mb=0.0001", "out=other.arpa")
    assert status == 2 and "size_mb=0.0001 is less than" in err and not Path("other.arpa").exists()
    status, _, err = run("text=text.txt", "words=none.dic", "out=other.arpa")
    assert status == 1 and "none.dic" in err

"""The Makefile hands what it is given to programs as it was written, whatever characters it holds."""

import shutil

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

ODD = [
    "it's",
    "a$b",
    "$HOME",
    "$(HOME)",
    "${HOME}",
    "$$",
    "$(shell touch made)",
    "two  words ",
    "a&b",
    "a;touch made",
    "a|b>made",
    "`touch made`",
    'say "no"',
    "back\\slash\\",
    "a#b",
    "a,b)",
    "*?[a]",
    "~",
    "!",
    "(",
    "a\ntouch made",
    "né 日本",
    "a=b:c%d",
    "'; touch made; '",
]
"""Names that a shell or make would read."""
NASTY = " ".join(ODD)
WORD = "".join(ODD).replace(" ", "").replace("\n", "")


def only(calls):
    ((arguments, _),) = calls
    return arguments


@pytest.mark.parametrize("name", [*ODD, NASTY, WORD])
def test_a_name_arrives_as_it_was_written(make, name):
    assert only(make("doctor", f"DATA={name}")) == ["-m", "experiments", "doctor", name]
    assert only(make("doctor", environment={"DATA": name})) == ["-m", "experiments", "doctor", name]


@pytest.mark.parametrize(
    ("target", "names", "wanted"),
    [
        ("compare", {"A": NASTY, "B": f"b {NASTY}"}, ["experiments", "compare", NASTY, f"b {NASTY}"]),
        ("collect", {"RUNS": NASTY}, ["experiments", "collect", NASTY]),
        ("wandb-sync", {"RUNS": NASTY}, ["experiments", "sync", NASTY]),
        ("sweep", {"TABLE": NASTY}, ["experiments", "sweep", NASTY, "--seeds", "0"]),
        ("cost", {"EXP": f"{WORD} x", "TABLE": WORD}, ["experiments", "cost", WORD, "x", WORD]),
        (
            "export",
            {"CKPT": NASTY, "OUT": f"{WORD} {WORD}"},
            ["experiments", "export", "--checkpoint", NASTY, "--out", WORD, WORD],
        ),
    ],
    ids=str,
)
def test_every_target_hands_names_on(make, target, names, wanted):
    assert only(make(target, *(f"{key}={name}" for key, name in names.items()))) == ["-m", *wanted]


def test_rows_are_run_with_options_as_they_were_written(make):
    given = [f"DATA={NASTY}", f"SLURM={NASTY}", "DEVICES=2", "SEEDS=0 1"]
    seeds, slurm, root = ["--seeds", "0", "1"], f"--slurm={NASTY}", ["--", "--data.init_args.root", NASTY]
    options = [*seeds, slurm, "--jobs", "1", *root, "--trainer.devices", "2"]
    start = ["-m", "experiments", "run"]
    assert only(make("train", f"EXP=table-1/x {WORD}", *given)) == [*start, "table-1/x", WORD, *options]
    planned = only(make("plan", f"TABLE=table-1 {WORD}", *given))
    assert planned == ["-m", "experiments", "plan", "table-1", WORD, *seeds, slurm, *root, "--trainer.devices", "2"]
    for target, rows, shown in (("tables", [], []), ("table-1", ["table-1"], ["--table", "table-1"])):
        (ran, _), (collected, _) = make(target, *given, f"RUNS={NASTY}")
        assert ran == [*start, *rows, *options]
        assert collected == ["-m", "experiments", "collect", NASTY, *shown]


def test_an_agent_hands_names_on(make):
    ((arguments, row),) = make("sweep-row", f"row={WORD}", "seed=3", f"DATA={NASTY}")
    assert row == WORD
    assert arguments[3:] == [WORD, "--seeds", "3", "--jobs", "1", "--", "--data.init_args.root", NASTY]
    ((arguments, _),) = make("sweep-row", "row=table-1/x", "seed=3", environment={"DATA": NASTY, "ARGS": "'a$b'"})
    assert arguments[-2:] == [NASTY, "a$b"]


def test_arguments_are_words_of_the_shell(make):
    given = """ARGS=--out "$FOLDER"/'it is $5' --frames 4"""
    arguments = only(make("doctor", "DATA=d", given, environment={"FOLDER": "my runs"}))
    assert arguments[3:] == ["d", "--out", "my runs/it is $5", "--frames", "4"]


def test_without_what_is_needed_a_sentence_comes(make):
    assert "DATA is not given" in make("doctor", rc=2)
    assert "EXP is not given" in make("train", rc=2)
    assert "A and B are wanted" in make("compare", "A=!", rc=2)
    assert "neither EXP nor TABLE" in make("cost", rc=2)
    assert "CKPT and OUT are wanted" in make("export", "OUT=(", rc=2)
    assert "TABLE is not given" in make("sweep", rc=2)
    assert only(make("plan")) == ["-m", "experiments", "plan", "--seeds", "0", "--"]
    assert only(make("collect")) == ["-m", "experiments", "collect", "runs"]
    assert only(make("wandb-sync", "QUICK=1")) == ["-m", "experiments", "sync", "runs/quick"]

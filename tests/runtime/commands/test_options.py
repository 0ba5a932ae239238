"""Ranges of the command line's options."""

from __future__ import annotations

import pytest

from emo_listen import cli
from emo_listen.commands import analyse


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", "1e308"], "'1e308' is not a number from 0.1 to 60"),
        (["--window", "nan"], "'nan' is not a number"),
        (["--hop", "1e-9"], "'1e-9' is not a number from 0.05 to 60"),
        (["--hop", "0.04"], "'0.04' is not a number"),
        (["--threads", "0"], "'0' is not a number from 1 to 256"),
        (["--threads", "9" * 20], "is not a number from 1 to 256"),
        (["--threads", "9" * 5000], "is not a number from 1 to 256"),
        (["--rate", "99999999999"], "is not a number from 1,000 to 1,000,000"),
        (["--pcm-channels", "0"], "is not a number from 1 to 64"),
        (["--channels", "0"], "there is no channel 0: give numbers 1 to 64"),
        (["--channels", "1,1"], "a channel is given twice"),
        (["--channels", "left"], "'left' are not channels: give mix, separate, or numbers"),
        (["--channels", "1,,2"], "are not channels"),
        (["--osc", "a" * 64 + ":9000"], "is not HOST:PORT"),
        (["--osc", "a." * 200 + "a:9000"], "is not HOST:PORT"),
        (["--osc", ":9000"], "is not HOST:PORT"),
        (["--osc", "localhost:65536"], "is not HOST:PORT"),
        (["--websocket", "a..b:8765"], "is not a port or HOST:PORT"),
        (["--websocket", "9" * 5000], "is not a port or HOST:PORT"),
        (["--websocket", "8765 "], "is not a port or HOST:PORT"),
    ],
)
def test_values_out_of_range_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse_args(arguments)
    assert ended.value.code == 2
    message_line = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {arguments[0]}: " in message_line
    assert message in message_line
    assert len(message_line) < 150


def test_the_number_of_processes_has_a_range(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        analyse.parse_args(["a.wav", "--output", "b.csv", "--jobs", "5000"])
    assert "argument --jobs: '5000' is not a number from 1 to 4,096" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8765", ("127.0.0.1", 8765)),
        ("0", ("127.0.0.1", 0)),
        ("localhost:1", ("localhost", 1)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_addresses_are_parsed(text: str, address: tuple[str, int]) -> None:
    assert cli.parse_args(["--websocket", text]).websocket == address

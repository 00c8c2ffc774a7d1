"""`enr …` as a user types it, in this process."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from enr.pipelines.cli.main import main


def enr(*words: object) -> Result:
    """What `enr` says and how it ends, given these words."""
    return CliRunner().invoke(main, [str(word) for word in words])


def check_refused(result: Result, *words: str, unwritten: str | Path | None = None) -> None:
    """Status 2 and one line that has these words, without a traceback; where a path is named, nothing lies there."""
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error")]
    assert all(word in line for word in words), line
    assert "Traceback" not in result.output
    assert unwritten is None or not Path(unwritten).exists()

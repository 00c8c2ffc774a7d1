"""`enr …` as a user types it, in this process."""

from __future__ import annotations

from click.testing import CliRunner, Result

from enr.pipelines.cli.main import main


def enr(*words: object) -> Result:
    """What `enr` says and how it ends, given these words."""
    return CliRunner().invoke(main, [str(word) for word in words])


def check_refused(result: Result, *words: str) -> None:
    """Status 2 and a sentence that has these words, without a traceback."""
    assert result.exit_code == 2, result.output
    assert all(word in result.output for word in words), result.output
    assert "Traceback" not in result.output

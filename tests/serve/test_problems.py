"""What an author reads of a worker that does not load."""

from pathlib import Path

from atoll.serve.channel import Problem
from atoll.serve.problems import described


def test_file_line_and_source_are_named(tmp_path: Path) -> None:
    """The source line stands below its place, unless the detail shows it already."""
    file = tmp_path / "hello.py"
    file.write_text("a = 1\nb = (\n")
    bare = described(Problem("hello", "SyntaxError: '(' was never closed", str(file), 2, ""))
    assert bare.splitlines() == [
        """Worker "hello" does not load: SyntaxError: '(' was never closed""",
        f"  {file}:2",
        "    2 | b = (",
    ]
    full = described(Problem("hello", "no", str(file), 2, "Traceback\n  b = ("))
    assert full.count("b = (") == 1


def test_a_hostile_source_moves_no_cursor(tmp_path: Path) -> None:
    """Control characters of the author's file and message are shown as escapes."""
    file = tmp_path / "hello.py"
    file.write_text("x\x1b[2J\n")
    assert "\x1b" not in described(Problem("hello", "\x1b[2J", str(file), 1, "\x1b[2J"))


def test_a_file_that_has_gone_is_no_second_failure() -> None:
    """The message is told without the source line."""
    assert "nowhere.py:3" in described(Problem("hello", "no", "/nowhere/nowhere.py", 3, ""))

"""Pages and help speak the field's words, and whatever a page links to or names exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from tests.command_line import enr

from enr.pipelines.cli.main import COMMANDS, main

PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md")
PRIVATE_WORDS = {
    r"\b(floors|blind floor)\b": "trivial baselines",
    r"another view's pose|swapped poses?\b": "wrong-pose control",
    r"\bsource (picture|view)s?\b": "input view",
    r"what the second picture is worth": "gain from a second input view",
    r"\b(object's|bounding) ball\b": "bounding sphere",
    r"on their rays|carried colours?|colours? (is|are) carried": "unprojected, pixel-aligned RGB",
    r"sits on the background|paints? (one|the same) picture": "collapse to background; constant output",
    r"\bthe ladder\b|\ba rung\b|\brung by rung\b|\bevery rung\b": "cumulative ablation, a step of it",
    r"longest gradient|course of the learning rate": "gradient-norm clipping; learning-rate schedule",
    r"\b(swells|mishaps?)\b": "exceeds the memory limit; failure",
    r"\bplain way\b|\bbare loop\b": "naive script; upper-bound loop",
    r"\bno use for\b": "cannot be combined with",
    r"worth a word|\bis wished\b|\bunheard\b|\bis deaf\b": "threshold for a note; requested; ignored",
}


def pages(root: Path) -> list[Path]:
    return [page for pattern in PAGES for page in sorted(root.glob(pattern))]


def helps() -> list[tuple[str, click.Command]]:
    found = [("enr", main)]
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        found.append((name, command))
        found += [(f"{name} {sub}", inner) for sub, inner in getattr(command, "commands", {}).items()]
    return found


def private_words(text: str) -> list[str]:
    flat = re.sub(r"\s+", " ", text)
    return [
        f"{match[0]!r} (say {field!r})"
        for pattern, field in PRIVATE_WORDS.items()
        for match in re.finditer(pattern, flat, re.IGNORECASE)
    ]


def anchors(page: Path) -> set[str]:
    """The names by which the headings of a page can be linked to."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pages_speak_the_fields_words(root):
    said = {page.name: private_words(page.read_text(encoding="utf-8")) for page in pages(root)}
    assert {page: words for page, words in said.items() if words} == {}


@pytest.mark.parametrize("name", [name for name, _ in helps()])
def test_help_speaks_the_fields_words(name):
    result = enr(*name.removeprefix("enr").split(), "--help")
    assert result.exit_code == 0
    assert private_words(result.output) == []


def test_the_words_are_found_across_a_line_break():
    assert private_words("told another\nview's pose") == ["\"another view's pose\" (say 'wrong-pose control')"]


def test_links_lead_somewhere(root):
    dead = []
    for page in pages(root):
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            is_dead = not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))
            if not link.startswith("http") and is_dead:
                dead.append(f"{page.name}: {link}")
    assert dead == []


def test_commands_and_options_that_pages_type_exist(root):
    """The lines that start with `enr`, in pages: the command and each of its long options."""
    known = {
        name: {word for option in command.params for word in (*option.opts, *option.secondary_opts)}
        for name, command in helps()
    }
    wrong = []
    for page in pages(root):
        for line in re.findall(r"^(?:    |    \$ )?enr (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
            words = line.partition(" #")[0].split()
            name = next((name for name in (" ".join(words[:2]), words[0]) if name in known), None)
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            if name is None or options - known[name] - {"--help", "--version"}:
                wrong.append(f"{page.name}: enr {line}")
    assert wrong == []

"""What a program has said: the facts of a line, not its wording."""


def line_with(text, *facts):
    """The only line of the text that holds all of the facts."""
    found = [line for line in text.replace("\r", "\n").splitlines() if all(str(fact) in line for fact in facts)]
    assert len(found) == 1, (facts, text)
    return found[0]

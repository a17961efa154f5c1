"Notes on labels are gathered whatever a label holds, in time linear in its length."

import pytest

from biosig_nb.studies.cards import LEFT_OUT, gather_notes


def test_notes_on_labels_become_one_line():
    notes = tuple(f"full, macro: {label} {LEFT_OUT}: few positives (3)" for label in ("A", "B"))
    (line,) = gather_notes(notes)
    assert line.startswith("full, macro: 2 labels have no interval and are left out")
    assert line.endswith("A (few positives, 3); B (few positives, 3)")


@pytest.mark.parametrize("part", [" ", "a: ", f" {LEFT_OUT}: "])
def test_long_notes_pass_as_they_are(part):
    note = 20_000 * part
    assert gather_notes((note,)) == [note]

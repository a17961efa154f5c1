"""Write tests/long.txt, the tests that `make test` leaves to `make test-all`: `python .ci/long.py
JUNIT.xml [SECONDS]`, with the times of a whole run on a quiet machine.

Some stay in `make test`, however long they take: each study's report, which is the one run of the
study; the search for names in a private run; and tests that are long only where they come first,
because they wait for imports.
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

STAY = ("/report]", "::test_no_file_holds_a_name_or_a_path", "[00_errors]")
FIRST = ("tests/test_house.py", "tests/cli/")


def node(case):
    "The id of a test as pytest prints it."
    return f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}"


if __name__ == "__main__":
    cases = ElementTree.parse(sys.argv[1]).iter("testcase")
    least = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    slow = sorted(node(c) for c in cases if float(c.get("time")) >= least)
    names = [name for name in slow if not (name.endswith(STAY) or name.startswith(FIRST))]
    (Path(__file__).resolve().parents[1] / "tests" / "long.txt").write_text("\n".join(names) + "\n")
    print(f"{len(names)} tests of at least {least:g} s")

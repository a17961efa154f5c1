"""What is committed: quiet outputs, nothing huge, documents in step."""

import json
import re
import sys

import pytest
from checkout import ROOT, checkout_files, command

FILES = checkout_files()
NOTEBOOKS = [p for p in FILES if p.suffix == ".ipynb"]

TOPS = "home|root|tmp|work|Users|usr|var|opt|mnt|media|data|private|builds?"
HOSTS = "www.w3.org creativecommons.org matplotlib.org physionet.org doi.org zenodo.org"
ALLOWED = "|".join(map(re.escape, HOSTS.split()))

NOISE = {
    "an absolute path": rf"(?:^|[\s\"'(=:>\[])/(?:{TOPS})/|\b[A-Z]:\\\\?\w",
    "a host": rf"\bhttps?://(?!(?:{ALLOWED})/)|\blocalhost\b|\b127\.0\.0\.1\b",
    "an ANSI code": r"\x1b\[",
    "a progress bar": r"\d%\|[^|]*\||[█▏▎▍▌▋▊▉]|\bit/s\b|\bs/it\b",
    "a warning": r"\b\w*Warning: ",
    "library chatter": r"GPU available|TPU available|HPU available|`Trainer\.",
    "a memory address": r"\bat 0x[0-9a-f]{6,}",
}


def noise_in(cell):
    "What a code cell's outputs hold that would differ elsewhere, or that no reader needs."
    for out in cell.get("outputs", []):
        if out["output_type"] == "error":
            yield "an error", out["ename"]
        if out["output_type"] == "stream" and out["name"] == "stderr":
            yield "standard error", "".join(out["text"])[:80]
        texts = [out.get("text", "")] + [
            v
            for k, v in out.get("data", {}).items()
            if not k.startswith("image/") or k == "image/svg+xml"
        ]
        for text in ("".join(t) if isinstance(t, list) else str(t) for t in texts):
            for what, pattern in NOISE.items():
                if m := re.search(pattern, text):
                    yield what, text[max(0, m.start() - 30) : m.end() + 30]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_notebook_outputs_are_quiet_and_small(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert len(text.encode()) <= 1e6, (
        f"{path} has {len(text.encode()) / 1e6:.1f} MB; draw smaller figures"
    )
    for i, cell in enumerate(json.loads(text)["cells"]):
        found = list(noise_in(cell))
        assert not found, f"{path}, cell {i}: {found[0][0]}: {found[0][1]!r}"


@pytest.mark.parametrize(
    "noise",
    [
        "/home/anna/x.dat",
        "see 'C:\\Users\\x'",
        "http://node17:8888/lab",
        "\x1b[31mred",
        " 45%|████   | 9/20",
        "UserWarning: old",
        "<function f at 0x7f12ab34cd56>",
        "GPU available: False",
    ],
)
def test_noise_is_noticed(noise):
    assert list(
        noise_in({"outputs": [{"output_type": "stream", "name": "stdout", "text": [noise]}]})
    )


@pytest.mark.parametrize(
    "plain",
    [
        "mitdb/1.0.0/100.dat",
        "AUROC 0.91 [0.85, 0.95]",
        "100 % of 48 records",
        "1/2 and 3/4",
        "data/20_wfdb_files",
    ],
)
def test_plain_outputs_pass(plain):
    assert not list(
        noise_in({"outputs": [{"output_type": "stream", "name": "stdout", "text": [plain]}]})
    )


def test_no_big_file():
    big = {str(p): (ROOT / p).stat().st_size for p in FILES if (ROOT / p).stat().st_size > 20e6}
    assert not big, f"over 20 MB: {big}"


def test_readme_is_in_step():
    command(sys.executable, ".ci/readme.py", "--check")


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".md"] + NOTEBOOKS, ids=str)
def test_relative_links_lead_somewhere(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join(
            "".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown"
        )
    targets = [
        t.split("#")[0]
        for t in re.findall(
            r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
        )
        if not re.match(r"[a-z]+:|#|attachment:", t)
    ]
    missing = [t for t in targets if t and not (ROOT / path.parent / t).exists()]
    assert not missing, f"{path} links to {missing}"

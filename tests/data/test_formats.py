"""EDF and BDF as another library reads them; private fields; what is installed; every ending."""

import base64
import subprocess
import sys
import zlib

import numpy as np
import pandas as pd
import pytest

from biosig_nb.data.formats import recording
from biosig_nb.data.formats.edf_files import read_edf
from biosig_nb.data.formats.files import ENDINGS, FORMATS, find_file, read_clip, read_recording
from biosig_nb.data.formats.recording import Hints
from biosig_nb.data.formats.text_tables import read_text_table
from biosig_nb.errors import DataError

# Files that pyedflib 0.1.42 wrote: two signals of two seconds at 8 Hz, -3.2 to 3.3 over all digits.
# The numbers beside them are those that pyedflib reads.
EDF_PLUS = (
    "c-k{ifPe@vbS=uvPK@_0EiOqd%1zA6Qy?1zmn0UIq$HN4Di|2*`Z`AH8W|XwKy4uh7#QjqnCcms7#Qe*ks-)9A"
    "aHeY({?7(3?nFQ2&Iid`d!@>+^P_2Tz%b9^Z?CQaLmigFG(!P%+D)U7-^t13_|CIp^EDo>lvZY&_FfTGe)5e;p"
    "&ad%`7l!5M{1_NslyOfkvCsDG;RGPP;8*%sM@PO2wn}7gHw9ev<U(gu4ASEpE0Gd&BvrYa57&FlZZ!fJ+92<ow"
    "d~jA9W6T7vY+e~LMjy!WqsCz8hy6Yn3VQ5`yCZ)NnaP{$sAeXS0lV`%FD3;+Oyw7AI"
)
EDF_DIGITS = [
    [17946, 18123, 422, -13462, -27489, -7560, -6041, -28012],
    [-7013, -926, 10184, -27073, 2858, -14330, 22461, -26866],
]
EDF_PHYSICAL = [
    [1.829999237048905, 1.8475547417410543],
    [-0.6455252918287939, -0.04179446097505166],
]
BDF = (
    "c-s5#<mn&m>gySy0D;s3!6k`BB`Jv|sR{;$y1tH)x<&>@CKT9VV5nzcs%K<kV4w#^=4KWon_&c{4Uzb+uI>tMRR"
    "}e%zU~S`36zFG=v*kRYpiF4OdIPND<IRl7RDA9W(F288bX;X!05paEYN65LE`0q69wK|z1V(v<rSY4H-i<IdL&k"
    "#|Dbc%zk7LlN~6Xcl`j9N^Y_x{WGr%i7OIshaQ~y)8W*OH{ih2rvpjVv+x%a->p$bh{r0}xx$_Uq7cuX$RS)jhE"
    "Uf-I-G2{Dm^=U;x1Iw"
)
BDF_DIGITS = [
    [-76959, -1109871, -4724678, -2840109, 4613196, -2971600, -5564276, 2945231],
    [-7647267, 6580135, -6543231, 5212708, -2175142, 6855783, -1686622, 6629973],
]
BDF_PHYSICAL = [
    [0.020183951865670197, -0.3799973654745439],
    [-2.9127820976246652, 2.599343305787045],
]


@pytest.mark.parametrize(
    "packed, name, bits, digits, physical",
    [
        (EDF_PLUS, "a.edf", 16, EDF_DIGITS, EDF_PHYSICAL),
        (BDF, "a.bdf", 24, BDF_DIGITS, BDF_PHYSICAL),
    ],
)
def test_edf_is_read_as_pyedflib_reads_it(tmp_path, packed, name, bits, digits, physical):
    path = tmp_path / name
    path.write_bytes(zlib.decompress(base64.b85decode(packed)))
    r = read_edf(path, "a")
    assert (r.fs, r.channels, r.units) == (8, ("EEG Fz", "EMG"), ("uV", "mV"))
    assert r.signals.shape == (2, 16)
    np.testing.assert_array_equal(r.signals[:, :2], physical)
    stored = (r.signals + 3.2) * (2**bits - 1) / 6.5 - 2 ** (bits - 1)
    np.testing.assert_allclose(stored[:, :8], digits, atol=1e-6)
    assert "Erika" not in repr(r)


# An aECG file that libbiosig 2.5.0 (save2gdf) wrote of two signals in steps of 5 uV at 8 Hz.
AECG = (
    "c-rlmTXU*N5P;wFE2el?M3a-4Qcn?rmo2<35I4Io)C5MIT^u|xnB@HWZNLj&0L`&#&#8?*q#UMux_iFv9wv>iZ*v"
    "zdi62mpH3g|$5fEXv=TJ6n3QuOcbSI#%t*eI2n8z_Ej;eGJ$grR(gg(2Uxwj?HpWZKPLNa{6^z8jdB8;sczXh}@%"
    "s5}%i{k6+Yx%WShDl<zQjx^xzGm1nGRGy#0*;wYKq{d3K|H8=Hs-OJd)m9&t%$*{NJ*_ERmEh!I2!7v)i*0JT#?F"
    "efg>Q>#X+EW4rvO*2SY$}&vTNW>Uba^{=SHwyadEw#%l?!D+Hegb&&6QyeSwQ``m#*py%W(AaOMZqDGJ%E34OFNg"
    "@7Wya$}jn?kiLeJS5vSISaZl4^H%wepv;R87wr;5mpYBeQh9RZ1okVspAACY_UHEFO2gSG2@#2oh5L?xrHaH~wry"
    "<7qQGofXV$h)31{XXXo!5ypp;I4Vhylwp4qnantO<BG?e(2k<iV@^}xen^DW(j1g6Jj%Gb1U2c%E2gQA)q%Mm{;l"
    "w3OxS1&!k53nLpccOl+E|8(FUfj<=e8aDP@oG@LSp(?tAWvuTh4QBsxCDuCdaVvPM@Uh1r5@8euiUlB9i>ViHxK{"
    ")4T42q^h;%-9YHdCokNxi|IkVn*!|6atT>?HL)677mGYQbzn_us1MFd7!8TcE*cf2Lx%reH;<iA<Rj%tTN>(Qcr`"
    "0i{BIepJ2iSmU4>H=cX(jW{-Siwc<dCS&_)uKry|88MLhRW<0(a;9HF@cyD9ZjBNWT<Y~;3qSw)7^DiOIoTBvxJw"
    "?_mQ}4-IafIDf?LGmRB(9W`;<;z4-iR<@rPUDQKc_7sp5cIaq6eoaZHPNtn#Ea)q$A}|Jg9$rmG-ziII>g1*X`n9"
    "@)qO|whCyslmvUt*--Vu2C*q4diPJW+ZRxxDUmo<GOiC$&FZjccG`0~?l!<VYd3JnXP$qoo5eoL8IR*BQ2)aTwt4"
    "6i$B3stk|nisfJ}?{eTbhsNRs6Ecm{{(t-G`4(4S&PzZd00Ve0N$oUau!BQur_@z@45?4-qyF{I;*OVYqYfgK+^e"
    "e8?uok263!v^mDqhiUXsax%yW~#b17@A7A_;gvlKJ1U6YOmi8JZ{fWo4P!wQ)Xv)UNicL-?{$Bj$3VA{r$q;`{Y{"
    ")uRZU@jV#XW_@yLyR~UgQt88Z&&Rij*&@j8-b2UXZbSE~2b^RE-xjKp-{|p>!!#}K%Y#5i?Obsga2yFUAXkJA@c`"
    "}FX_C={yLhel_pIHAlSa*A!?nSxoMn{TIu>a>^|IiUTb$E;;M-0OEc3K(gCtiYF$d&_}3U234C(-QnRZD&_hT4;<"
    "p2ps}9CfswVOpkf$`#0rU?=O9AmJ}4G$45)XSPq``>T~UaHD#2x{`(%%jJQ--ir?q{%f!iRVh{JSehz7TD>1AOy?"
    "3~#Kb`TIbowcpH3;;?DBet!|`dH1U803zLLH<SK5KKdC;mL36-j-R;i#;y<SH*=oU#;Kw$O!leBY4!(;uEwM^D(s"
    "0y?JXfbl78j67X8A#g-L&MCxHA~-_B{vEOcV(@shM4{zTI=dx8M6a}"
)
AECG_DIGITS = [[0, 1, -2, 300, -999, 5, 7, 12], [3, 2, 1, 0, -1, -2, -3, 999]]


def test_aecg_of_another_program_is_read_without_the_name_in_it(tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes(zlib.decompress(base64.b85decode(AECG)))
    r = read_recording(path, "a")
    np.testing.assert_array_equal(r.signals, 5.0 * np.array(AECG_DIGITS))
    assert (r.fs, r.channels, r.units) == (8, ("I", "aVR"), ("uV", "uV"))
    assert b"Mustermann" in path.read_bytes()
    assert "Mustermann" not in repr(r)


@pytest.mark.parametrize("name", ["edfio", "pydicom", "h5py", "av", "defusedxml"])
def test_a_missing_library_is_named_with_its_command(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    extra = "ultrasound" if name == "av" else "formats"
    with pytest.raises(DataError) as e:
        recording.library(name, extra, "record r1")
    how = f'record r1 needs {name}, which is not installed; pip install "biosig-nb[{extra}]"'
    assert str(e.value) == how


def test_optional_libraries_are_imported_when_needed():
    optional = ["edfio", "pydicom", "h5py", "av", "defusedxml"]
    code = "import sys, biosig_nb.data.formats.files; "
    code += f"print([m for m in {optional} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_has_a_reader_that_refuses_another_kind_of_file(tmp_path, ending):
    path = tmp_path / f"r1{ending}"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    assert find_file(tmp_path, "r1", "records.csv") == path
    kinds = {f.kind for f in FORMATS if ending in f.endings}
    for kind in kinds:
        with pytest.raises(DataError, match="record r1") as e:
            read_recording(path, "r1") if kind == "recording" else read_clip(path, "r1")
        assert "known format" not in str(e.value)
        assert "\n" not in str(e.value) and str(tmp_path) not in str(e.value)


@pytest.mark.parametrize("decimal, separator", [(".", ","), (",", ";"), (",", "\t"), (".", "|")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_table_in_every_habit_is_read_to_the_bit(tmp_path, decimal, separator, encoding):
    x = np.random.default_rng(3).normal(0, 1, (30, 2))
    t = pd.DataFrame(x, columns=["I (µV)", "II (µV)"])
    t.insert(0, "time (ms)", np.arange(30) * 2.0)
    path = tmp_path / "r1.csv"
    t.to_csv(path, sep=separator, decimal=decimal, encoding=encoding, index=False)
    r = read_text_table(path, "r1")
    np.testing.assert_array_equal(r.signals, x.T)
    assert (r.fs, r.channels, r.units) == (500, ("I", "II"), ("uV", "uV"))


def test_a_rate_of_the_user_that_contradicts_the_file_is_refused(tmp_path):
    path = tmp_path / "r1.csv"
    path.write_text("time (s),II\n" + "".join(f"{k / 500},{k % 7}\n" for k in range(50)))
    assert read_recording(path, "r1", Hints(fs=500)).fs == 500
    with pytest.raises(DataError, match="record r1: you state 250 Hz, the file has 500 Hz"):
        read_recording(path, "r1", Hints(fs=250))

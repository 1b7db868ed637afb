"""CSVs as spreadsheets, editors and interrupted copies leave them."""

import codecs

import pytest

from datamodules.clips.csv_lines import read_lines

MEANT = [["a.mp4", "0"], ["né.mp4", "1"]]
PLAIN = "path,label\na.mp4,0\nné.mp4,1\n"


def read(tmp_path, content, needed=("path", "label"), optional=("split",), others=False):
    path = tmp_path / "videos.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_lines(path, needed, optional, others)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.strip(),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.encode("utf-8-sig"),
        codecs.BOM_UTF8 + PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
        PLAIN.replace(",", "\t").replace("\n", "\r\n").encode("utf-16"),
        PLAIN.encode("utf-32"),
        codecs.BOM_UTF32_BE + PLAIN.encode("utf-32-be"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        "sep=;\n" + PLAIN.replace(",", ";"),
        "\ufeffsep=\t\r\n" + PLAIN.replace(",", "\t"),
        "sep=,\n" + PLAIN,
        "\n\n  \n" + PLAIN.replace("\n", "\n\n") + "\n,\n ,\n",
        PLAIN.replace("path,label", " Path , LABEL "),
        PLAIN.replace("path,label", '"path","label"'),
        PLAIN.replace("path,label", '\ufeff"path";"label"').replace(",", ";"),
        PLAIN.replace("\n", ",,\n"),
        PLAIN.replace("a.mp4", '"a.mp4"'),
    ],
    ids=lambda content: ascii(content)[:60],
)
def test_what_is_plain_is_read_as_it_was_meant(tmp_path, content):
    lines = read(tmp_path, content)
    assert lines.columns.tolist() == ["path", "label"]
    assert lines.to_numpy().tolist() == MEANT


def test_values_stay_as_they_are_and_lines_keep_their_numbers(tmp_path):
    text = 'path,label,score\n\n" a,b ",0,NA\n"two\nlines",1,\n"q""q",1,nan\n'
    lines = read(tmp_path, text, others=True)
    assert lines.path.tolist() == [" a,b ", "two\nlines", 'q"q']
    assert lines.score.tolist() == ["NA", "", "nan"]
    assert lines.index.tolist() == [3, 4, 6]
    assert read(tmp_path, "path;label\na,b.mp4;0\n").path.tolist() == ["a,b.mp4"]
    assert read(tmp_path, "path,label\n").empty


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (PLAIN.encode("cp1252"), r"is not UTF-8 \(byte 0xe9 in line 3\): save it as UTF-8"),
        (PLAIN.replace("\n", "\r").encode("cp1252"), r"byte 0xe9 in line 3"),
        (b"path,label\na\xff\xfe,0\n", r"byte 0xff in line 2"),
        (PLAIN.encode("utf-8")[:-8] + b"\xc3", "is not UTF-8"),
        (PLAIN.encode("utf-16")[:-1], r"is not UTF-16 \(byte 0x0a in line 3\): save it as UTF-8"),
        (PLAIN.encode("utf-16-le"), "has a NUL byte in line 1, as no text has: save it as a CSV in UTF-8"),
        (b"path,label\na.mp4,0\n\0\0\0", "has a NUL byte in line 3"),
        (
            PLAIN + '"b.mp4,0\nc.mp4,1\n',
            r"cannot be divided into columns from line 4 on \(unexpected end of data\): clo",
        ),
        ('path,label\n"a.mp4,0\n"b.mp4",0\n', "cannot be divided into columns from line 2 on"),
        ('path,label\na.mp4,0\n"b.mp4"x,0\n', "from line 3 on"),
        ('path,label\n"' + "a.mp4,0\n" * 30_000, "from line 2 on .* close the quote that is opened there"),
        (
            'path,label\n"a.mp4,0\nb.mp4",0,c.mp4",0\n',
            "1 lines with more or fewer values than its 2 columns, 4 in line 2",
        ),
        (
            "path,label\na.mp4\nb.mp4,0\nc,d.mp4,0\n",
            "2 lines .* 1 in line 2, 3 in line 4: .* has a comma in it in quotes",
        ),
        ("path;label\na.mp4,0\n", "1 lines .* 1 in line 2: .* has a semicolon in it in quotes"),
        ("path,label\na.mp4;0\n", "1 in line 2"),
        ("path,label\n" + "a.mp4\n" * 30, "30 lines .* 1 in line 11 and 20 more: correct"),
        ("path,label,\na.mp4,0,x\n", "its 2 columns, 3 in line 2"),
        ("path,label,path\na,0,b\n", r"has the columns \['path'\] more than once: keep one of each in line 1"),
        ("path,Label,LABEL \na,0,1\n", r"has the columns \['label'\] more than once"),
        ("path,label,,split\na,0,1,test\n", r"has the columns \[''\], which nothing reads"),
        (",path,label\n0,a,0\n", r"has the columns \[''\], which nothing reads"),
        ("path|label\na|0\n", r"lacks the columns \['path', 'label'\]: wanted .* in line 1, which is 'path|label'"),
        ("\na.mp4,0\n", r"lacks the columns .* wanted path,label and, if known, split in line 2, which is 'a.mp4,0'"),
        ("", r"lacks the columns \['path', 'label'\]: .* which is empty"),
        (" \n\n", r"lacks the columns \['path', 'label'\]"),
        (codecs.BOM_UTF8, r"lacks the columns"),
        ("sep=;\n", r"lacks the columns"),
        ("sep=;", r"lacks the columns"),
    ],
    ids=lambda part: ascii(part)[:60],
)
def test_what_is_not_is_a_sentence(tmp_path, content, sentence):
    with pytest.raises(ValueError, match=sentence) as refused:
        read(tmp_path, content)
    assert str(refused.value).startswith(str(tmp_path / "videos.csv"))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1500
